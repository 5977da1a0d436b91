//! `ImageFolder`: images in folders that name their classes.

use super::{Array, Samples};
use image::{GenericImageView, ImageReader, Limits, imageops::FilterType};
use std::{
    fs,
    path::{Path, PathBuf},
};
use wgrad_core::{Error, Result, philox::Stream};

/// PNG and JPEG files in a folder with one subfolder for each class. A sample is the image `[3, height, width]`
/// (f32 in [0, 1], red, green and blue) and its label (i32, rank 0): the number of its subfolder in alphabetical
/// order. Files are read when they are asked for.
///
/// ```no_run
/// use wgrad_core::Device;
/// use wgrad_nn::{ImageFolder, Loader};
/// let pets = ImageFolder::open("pets")?.resized(64, 64)?; // pets/cat/1.png, pets/dog/7.jpg
/// assert_eq!(pets.classes(), ["cat", "dog"]);
/// let loader = Loader::new(pets, 32, &Device::cpu())?.shuffle(1).workers(4);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ImageFolder {
    classes: Vec<String>,
    files: Vec<(PathBuf, i32)>,
    size: Option<(u32, u32)>,
}

/// Pixels along one side.
const MOST_SIDE: u32 = 1 << 14;
/// Bytes a decoder may take.
const MOST_BYTES: u64 = 1 << 30;

impl ImageFolder {
    /// Lists a folder's classes and files (`.png`, `.jpg`, `.jpeg`), each sorted by name; other files are passed
    /// over. A folder without an image is an error.
    #[track_caller]
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let (mut classes, mut files) = (Vec::new(), Vec::new());
        for path in listed(folder)? {
            if !path.is_dir() {
                continue;
            }
            let label = classes.len() as i32;
            let before = files.len();
            for file in listed(&path)? {
                let extension = file.extension().map(|e| e.to_ascii_lowercase());
                let known = ["png", "jpg", "jpeg"];
                if extension.is_some_and(|e| known.iter().any(|known| e == *known)) {
                    files.push((file, label));
                }
            }
            if files.len() > before {
                let name = path.file_name().unwrap_or_default();
                classes.push(name.to_string_lossy().into_owned());
            }
        }
        if files.is_empty() {
            return Err(Error::empty(
                "images",
                format!("{}: no subfolder with a .png or .jpg file", folder.display()),
            ));
        }
        Ok(Self { classes, files, size: None })
    }

    /// All images brought to one size, without regard to their proportions. Without it they must have the same
    /// size within a batch; an error names the first file that has another.
    #[track_caller]
    pub fn resized(mut self, height: u32, width: u32) -> Result<Self> {
        if !(1..=MOST_SIDE).contains(&height) || !(1..=MOST_SIDE).contains(&width) {
            return Err(Error::argument(
                "images",
                format!("a size of {height} x {width}; each side must be in 1..={MOST_SIDE}"),
            ));
        }
        self.size = Some((width, height));
        Ok(self)
    }

    /// The names of the classes, by label.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }
}

impl Samples for ImageFolder {
    fn len(&self) -> usize {
        self.files.len()
    }
    fn get(&self, i: usize, _: &mut Stream) -> Result<Vec<Array>> {
        let Some((path, label)) = self.files.get(i) else {
            return Err(Error::data("images", format!("there is no image {i} of {}", self.len())));
        };
        let shown = path.display();
        let reader = match ImageReader::open(path).and_then(ImageReader::with_guessed_format) {
            Ok(reader) => reader,
            Err(error) => return Err(Error::io("images", format!("{shown}: {error}"))),
        };
        let mut reader = reader;
        let mut limits = Limits::default();
        limits.max_image_width = Some(MOST_SIDE);
        limits.max_image_height = Some(MOST_SIDE);
        limits.max_alloc = Some(MOST_BYTES);
        reader.limits(limits);
        let image = match reader.decode() {
            Ok(image) => image,
            Err(error) => return Err(Error::format("images", format!("{shown}: {error}"))),
        };
        let image = match self.size {
            Some((width, height)) if image.dimensions() != (width, height) => {
                image.resize_exact(width, height, FilterType::Triangle)
            }
            _ => image,
        };
        let (width, height) = image.dimensions();
        let pixels = image.into_rgb8().into_raw();
        let mut values = Vec::with_capacity(pixels.len());
        for channel in 0..3 {
            values.extend(pixels.iter().skip(channel).step_by(3).map(|&x| f32::from(x) / 255.0));
        }
        let shape = [3, height as usize, width as usize];
        Ok(vec![Array::f32(shape, values)?, Array::i32([], vec![*label])?])
    }
    fn source(&self, i: usize) -> Option<String> {
        self.files.get(i).map(|(path, _)| path.display().to_string())
    }
}

/// What is in a folder, sorted by name.
#[track_caller]
fn listed(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    match entries {
        Ok(entries) => {
            let mut paths: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
            paths.sort();
            Ok(paths)
        }
        Err(error) => Err(Error::io("images", format!("{}: {error}", folder.display()))),
    }
}
