//! Every write, sync and rename of a save failing in turn.

use super::{Checkpoint, replace::*};
use crate::{Count, Mlp};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};
use wgrad_core::{Device, ErrorKind, Result};

/// The system, of which the call with a given number fails.
struct Failing {
    calls: Vec<&'static str>,
    fails: usize,
    half: bool,
}

impl Failing {
    fn call(&mut self, name: &'static str) -> io::Result<()> {
        self.calls.push(name);
        if self.calls.len() - 1 == self.fails {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "injected"));
        }
        Ok(())
    }
}

impl Disk for Failing {
    fn create(&mut self, path: &Path) -> io::Result<File> {
        self.call("create")?;
        System.create(path)
    }
    fn write(&mut self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        let result = self.call("write");
        if result.is_err() && self.half {
            System.write(file, &bytes[..bytes.len() / 2])?;
        }
        result?;
        System.write(file, bytes)
    }
    fn seek(&mut self, file: &mut File, to: u64) -> io::Result<()> {
        self.call("seek")?;
        System.seek(file, to)
    }
    fn sync(&mut self, file: &File) -> io::Result<()> {
        self.call("sync")?;
        System.sync(file)
    }
    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.call("rename")?;
        System.rename(from, to)
    }
    fn sync_folder(&mut self, folder: &Path) -> io::Result<()> {
        self.call("sync_folder")?;
        System.sync_folder(folder)
    }
}

fn folder(name: &str) -> io::Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("wgrad-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names: Vec<String> = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<_>>()?;
    names.sort();
    Ok(names)
}

type Tested = std::result::Result<(), Box<dyn std::error::Error>>;

#[test]
fn any_call_may_fail() -> Tested {
    let folder = folder("failing")?;
    let path = folder.join("run.safetensors");
    let cpu = Device::cpu();
    let model = Mlp::new(&[3, 5, 2], &cpu)?;
    let steps = Count::new(0);
    let checkpoint = Checkpoint::new().module("model", &model).count("steps", &steps).device(&cpu);
    for half in [false, true] {
        steps.set(1);
        checkpoint.save(&path)?;
        let mut fails = 0;
        loop {
            steps.set(2);
            let mut disk = Failing { calls: Vec::new(), fails, half };
            let result = checkpoint.save_on(&path, &mut disk);
            if result.is_ok() {
                assert_eq!(disk.calls.len(), fails, "a failing call must not be passed over");
                let last = &disk.calls[fails - 4..];
                assert_eq!(last, ["write", "sync", "rename", "sync_folder"]);
                break;
            }
            let error = result.err().map(|e| (e.kind(), e.to_string()));
            let (kind, text) = error.unwrap_or((ErrorKind::Internal, String::new()));
            assert_eq!(kind, ErrorKind::Io);
            assert!(text.contains("injected") && text.contains("run.safetensors"), "{text}");
            assert_eq!(names(&folder)?, ["run.safetensors"], "after call {fails}");
            checkpoint.load(&path)?;
            // Only the last call comes after the new file is in its place.
            let new = disk.calls.last() == Some(&"sync_folder");
            assert_eq!(steps.get(), if new { 2 } else { 1 }, "after call {fails}");
            fails += 1;
        }
        assert!(fails > 12, "only {fails} calls");
    }
    fs::remove_dir_all(&folder)?;
    Ok(())
}

#[test]
fn stale_files_go_and_living_ones_stay() -> Tested {
    let folder = folder("stale")?;
    let (path, other) = (folder.join("run"), folder.join("other"));
    let steps = Count::new(0);
    let checkpoint = Checkpoint::new().count("steps", &steps);
    // A writer that never gets to its end, as one that was killed, and one that is at work.
    let begin = |path: &Path, disk: &mut System| -> io::Result<String> {
        std::mem::forget(Replacement::begin(path, disk)?);
        Ok(String::new())
    };
    let mut disk = System;
    begin(&path, &mut disk)?; // keeps its lock: alive
    let alive = names(&folder)?;
    assert_eq!(alive.len(), 1);
    let dead = alive[0].replace(".tmp", "-dead.tmp");
    fs::write(folder.join(&dead), "half")?; // nobody has this one
    begin(&other, &mut disk)?;
    fs::write(folder.join(".wgrad-00000000-1.tmp"), "of another target")?;
    checkpoint.save(&path)?;
    let left = names(&folder)?;
    assert!(left.contains(&alive[0]), "{left:?}");
    assert!(!left.contains(&dead), "{left:?}");
    assert!(left.contains(&".wgrad-00000000-1.tmp".to_owned()), "{left:?}");
    assert_eq!(left.len(), 4, "{left:?}");
    fs::remove_dir_all(&folder)?;
    Ok(())
}

#[test]
fn two_at_once_never_mix() -> Tested {
    let folder = folder("two")?;
    let path = folder.join("run");
    let save = |value: u64| -> Result<()> {
        let counts: Vec<Count> = (0..200).map(|_| Count::new(value)).collect();
        let all = counts.iter().enumerate();
        all.fold(Checkpoint::new(), |c, (i, count)| c.count(&format!("{i}"), count)).save(&path)
    };
    save(0)?;
    std::thread::scope(|scope| -> Tested {
        let writers: Vec<_> = (1..4)
            .map(|value| scope.spawn(move || (0..10).try_for_each(|_| save(value))))
            .collect();
        for _ in 0..100 {
            let counts: Vec<Count> = (0..200).map(|_| Count::new(9)).collect();
            let all = counts.iter().enumerate();
            let all = all.fold(Checkpoint::new(), |c, (i, n)| c.count(&format!("{i}"), n));
            all.load(&path)?;
            assert!(counts.iter().all(|count| count.get() == counts[0].get()));
        }
        for writer in writers {
            writer.join().map_err(|_| "a writer panicked")??;
        }
        Ok(())
    })?;
    assert_eq!(names(&folder)?, ["run"]);
    fs::remove_dir_all(&folder)?;
    Ok(())
}

#[cfg(unix)]
#[test]
fn links_permissions_and_bad_targets() -> Tested {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = folder("links")?;
    let checkpoint = Checkpoint::new().count("steps", &Count::new(1));
    let (path, link) = (folder.join("run"), folder.join("link"));
    checkpoint.save(&path)?;
    let mode = |path: &Path| Ok::<u32, io::Error>(fs::metadata(path)?.permissions().mode() & 0o777);
    let plain = folder.join("plain");
    fs::write(&plain, "")?;
    assert_eq!(mode(&path)?, mode(&plain)?, "as any new file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640))?;
    symlink("run", &link)?;
    checkpoint.save(&link)?;
    assert!(fs::symlink_metadata(&link)?.file_type().is_symlink());
    assert_eq!(mode(&path)?, 0o640);
    fs::remove_file(&path)?;
    let kind = |path: &Path| checkpoint.save(path).err().map(|e| e.kind());
    let io = Some(ErrorKind::Io);
    assert_eq!(kind(&link), io, "a link to nothing");
    assert_eq!(kind(&folder), io);
    assert_eq!(kind(&folder.join("none/run")), io);
    assert_eq!(kind(&plain.join("run")), io);
    assert_eq!(kind(&folder.join("n".repeat(300))), io);
    assert_eq!(kind(Path::new("")), io);
    assert_eq!(kind(Path::new("a\0b")), io);
    // As long a name as the system allows; the temporary file has a name of its own.
    assert_eq!(kind(&folder.join("n".repeat(255))), None);
    // Root may write anywhere, so that a folder nobody may write to shows nothing here.
    fs::remove_dir_all(&folder)?;
    Ok(())
}
