//! Folders of images.
#![cfg(feature = "images")]

use image::{
    ExtendedColorType, ImageEncoder,
    codecs::{jpeg::JpegEncoder, png::PngEncoder},
};
use std::{fs, path::PathBuf};
use wgrad_core::{Device, ErrorKind, philox::Stream};
use wgrad_nn::{ImageFolder, Loader, Samples};

type Tested = std::result::Result<(), Box<dyn std::error::Error>>;

fn png(pixels: &[u8], width: u32, height: u32) -> image::ImageResult<Vec<u8>> {
    let mut file = Vec::new();
    PngEncoder::new(&mut file).write_image(pixels, width, height, ExtendedColorType::Rgb8)?;
    Ok(file)
}

#[test]
fn classes_pixels_and_damage() -> Tested {
    let folder =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("images-{}", std::process::id()));
    let kind = |folder: &PathBuf| ImageFolder::open(folder).err().map(|e| e.kind());
    assert_eq!(kind(&folder), Some(ErrorKind::Io));
    for class in ["dog", "cat", "none"] {
        fs::create_dir_all(folder.join(class))?;
    }
    assert_eq!(kind(&folder), Some(ErrorKind::Empty));
    let two = png(&[255, 0, 51, 0, 102, 0], 2, 1)?;
    fs::write(folder.join("cat/b.PNG"), &two)?;
    fs::write(folder.join("cat/notes.txt"), "x")?;
    let mut jpeg = Vec::new();
    JpegEncoder::new(&mut jpeg).write_image(&[200; 12], 2, 2, ExtendedColorType::Rgb8)?;
    fs::write(folder.join("dog/a.jpg"), &jpeg)?;
    let images = ImageFolder::open(&folder)?;
    assert_eq!((images.classes(), images.len()), (&["cat".to_owned(), "dog".to_owned()][..], 2));
    let mut random = Stream::new(0, 0);
    let sample = images.get(0, &mut random)?;
    assert_eq!((sample[0].shape(), sample[1].as_i32()?), (&[3, 1, 2][..], &[0][..]));
    assert_eq!(sample[0].as_f32()?, [1.0, 0.0, 0.0, 0.4, 0.2, 0.0]);
    let jpeg_sample = images.get(1, &mut random)?;
    assert_eq!((jpeg_sample[0].shape(), jpeg_sample[1].as_i32()?), (&[3, 2, 2][..], &[1][..]));
    assert!(jpeg_sample[0].as_f32()?.iter().all(|x| (x - 200.0 / 255.0).abs() < 0.02));
    // Of one size, in one batch: otherwise file, sizes and the way out are told.
    let mixed = Loader::new(images.clone(), 2, &Device::cpu())?;
    let error = mixed.batches().next().and_then(Result::err).ok_or("batched")?;
    let file = folder.join("dog/a.jpg").display().to_string();
    for part in
        [&format!("sample 1 ({file}) has the shape [3, 2, 2]"), "[3, 1, 2]", "ImageFolder::resized"]
    {
        assert!(error.message().contains(part), "{error} does not say {part:?}");
    }
    let resized = images.clone().resized(4, 6)?;
    let batch = Loader::new(resized, 2, &Device::cpu())?.batches().next().ok_or("none")??;
    assert_eq!((batch[0].shape(), batch[1].to_vec::<i32>()?), (&[2, 3, 4, 6][..], vec![0, 1]));
    assert!(images.clone().resized(0, 4).is_err() && images.clone().resized(4, 1 << 20).is_err());
    // Damage is an error that names the file.
    for (file, good) in [("cat/b.PNG", &two), ("dog/a.jpg", &jpeg)] {
        let i = usize::from(file.starts_with("dog"));
        for end in 0..good.len() {
            fs::write(folder.join(file), &good[..end])?;
            if let Err(error) = images.get(i, &mut random) {
                assert!(
                    error.kind() == ErrorKind::Format && error.message().contains(file),
                    "{error}"
                );
            }
        }
        for turn in 0..300 {
            let mut bad = good.clone();
            let at = random.below(bad.len() as u32) as usize;
            bad[at] ^= 1 << (turn % 8);
            fs::write(folder.join(file), &bad)?;
            let _ = images.get(i, &mut random);
        }
        fs::write(folder.join(file), good)?;
    }
    // A header that claims a large image is refused before its memory is asked for.
    let mut large = two.clone();
    large[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
    large.splice(29..33, crc32fast::hash(&large[12..29]).to_be_bytes());
    fs::write(folder.join("cat/b.PNG"), &large)?;
    assert_eq!(images.get(0, &mut random).err().map(|e| e.kind()), Some(ErrorKind::Format));
    fs::remove_file(folder.join("cat/b.PNG"))?;
    assert_eq!(images.get(0, &mut random).err().map(|e| e.kind()), Some(ErrorKind::Io));
    fs::remove_dir_all(&folder)?;
    Ok(())
}
