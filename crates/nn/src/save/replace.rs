//! Replacing a file as one atomic unit: whoever looks finds the old file or the new one, never a part.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    hash::{BuildHasher, Hasher, RandomState},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// What replacing a file asks of the system: a seam, so that tests can let any of it fail.
pub(crate) trait Disk {
    /// A new file that nobody else has, locked as long as it is open.
    fn create(&mut self, path: &Path) -> io::Result<File>;
    fn write(&mut self, file: &mut File, bytes: &[u8]) -> io::Result<()>;
    fn seek(&mut self, file: &mut File, to: u64) -> io::Result<()>;
    fn sync(&mut self, file: &File) -> io::Result<()>;
    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()>;
    fn sync_folder(&mut self, folder: &Path) -> io::Result<()>;
}

/// The system itself.
pub(crate) struct System;

impl Disk for System {
    fn create(&mut self, path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(path)
    }
    fn write(&mut self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }
    fn seek(&mut self, file: &mut File, to: u64) -> io::Result<()> {
        file.seek(SeekFrom::Start(to)).map(drop)
    }
    fn sync(&mut self, file: &File) -> io::Result<()> {
        file.sync_all()
    }
    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }
    fn sync_folder(&mut self, folder: &Path) -> io::Result<()> {
        // Elsewhere folders cannot be opened; a rename is then as lasting as the system makes it.
        if !cfg!(unix) {
            return Ok(());
        }
        match File::open(folder)?.sync_all() {
            // Some file systems know no such thing.
            Err(e)
                if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) =>
            {
                Ok(())
            }
            done => done,
        }
    }
}

/// A file that is being written beside the one it will replace.
pub(crate) struct Replacement<'d> {
    disk: &'d mut dyn Disk,
    /// The file to replace; where the caller named a link, what the link points to.
    target: PathBuf,
    folder: PathBuf,
    temporary: PathBuf,
    file: Option<File>,
}

const PREFIX: &str = ".wgrad-";
const SUFFIX: &str = ".tmp";
const TRIES: usize = 16;

impl<'d> Replacement<'d> {
    /// Begins to replace `path`, and clears away what dead processes left of earlier tries.
    pub fn begin(path: &Path, disk: &'d mut dyn Disk) -> io::Result<Self> {
        let target = match fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_symlink() => fs::canonicalize(path)?,
            _ => path.to_path_buf(),
        };
        if target.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "this is a folder"));
        }
        let Some(name) = target.file_name() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"));
        };
        let folder = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
            _ => PathBuf::from("."),
        };
        let start = format!("{PREFIX}{:08x}-", short_hash(name));
        clear_stale(&folder, &start);
        for _ in 0..TRIES {
            let temporary = folder.join(format!("{start}{:016x}{SUFFIX}", random()));
            let file = match disk.create(&temporary) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            };
            // The lock says that the writer lives; the system drops it with the process. On a file
            // system without locks nothing is ever taken for stale.
            let locked = file.lock().is_ok();
            // Between its making and its locking another process may have taken it for stale.
            if locked && !temporary.exists() {
                continue;
            }
            return Ok(Self { disk, target, folder, temporary, file: Some(file) });
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "no free name for a temporary file"))
    }

    /// Writes at the end, or where [`seek`](Replacement::seek) led.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.file {
            Some(file) => self.disk.write(file, bytes),
            None => Err(io::Error::other("the file is closed")),
        }
    }

    /// Goes to a byte that is written already.
    pub fn seek(&mut self, to: u64) -> io::Result<()> {
        match &mut self.file {
            Some(file) => self.disk.seek(file, to),
            None => Err(io::Error::other("the file is closed")),
        }
    }

    /// Makes what was written last, and puts it in the place of the old file, whose permissions it takes over.
    pub fn finish(mut self) -> io::Result<()> {
        let Some(file) = self.file.take() else { return Ok(()) };
        if let Ok(old) = fs::metadata(&self.target) {
            fs::set_permissions(&self.temporary, old.permissions())?;
        }
        self.disk.sync(&file)?;
        self.disk.rename(&self.temporary, &self.target)?;
        drop(file);
        self.disk.sync_folder(&self.folder)
    }
}

impl Drop for Replacement<'_> {
    fn drop(&mut self) {
        // After a rename there is nothing under this name.
        drop(self.file.take());
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Replaces a file by these bytes.
#[cfg(feature = "trainer")]
pub(crate) fn replace(path: &Path, bytes: &[u8], disk: &mut dyn Disk) -> io::Result<()> {
    let mut replacement = Replacement::begin(path, disk)?;
    replacement.write(bytes)?;
    replacement.finish()
}

/// Removes temporary files of this target whose writers are dead: those that nobody holds a lock on.
fn clear_stale(folder: &Path, start: &str) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if !(name.starts_with(start) && name.ends_with(SUFFIX)) {
            continue;
        }
        let path = entry.path();
        if let Ok(file) = File::open(&path)
            && file.try_lock().is_ok()
        {
            let _ = fs::remove_file(&path);
        }
    }
}

/// Tells the temporary files of one target from those of others (FNV-1a); names may be as long as the
/// system allows, so they cannot be a part of a longer name.
fn short_hash(name: &OsStr) -> u32 {
    name.as_encoded_bytes()
        .iter()
        .fold(0x811c_9dc5, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
