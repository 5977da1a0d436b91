//! Damaged IDX files: each kind of damage is a typed error that names the file, and no header makes
//! the reader allocate what it merely claims.

use flate2::{Compression, write::GzEncoder};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    fs,
    io::Write,
    path::PathBuf,
};
use wgrad_core::{Error, ErrorKind, Result};
use wgrad_nn::{Dataset, Idx};

/// The system's allocator, noting the largest piece each thread asked for.
struct Watched;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

fn note(bytes: usize) {
    LARGEST.with(|largest| largest.set(largest.get().max(bytes)));
}

// SAFETY: every call goes to the system's allocator unchanged; noting allocates nothing.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        note(bytes);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(at, layout, bytes) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static WATCHED: Watched = Watched;

/// An IDX file with this element type, these sizes and these bytes.
fn idx(element: u8, sizes: &[u32], data: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, element, sizes.len() as u8];
    for size in sizes {
        file.extend(size.to_be_bytes());
    }
    file.extend(data);
    file
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    let written = packer.write_all(bytes).and_then(|()| packer.finish());
    assert!(written.is_ok());
    written.unwrap_or_default()
}

/// The error of a read, which must fail without a piece of memory above 1 MB.
#[track_caller]
fn refused(file: &[u8]) -> (ErrorKind, String) {
    LARGEST.set(0);
    let result = Idx::from_bytes("some/file", file);
    let largest = LARGEST.get();
    assert!(largest < 1_000_000, "asked for {largest} bytes at once");
    assert!(result.is_err(), "read as {result:?}");
    let error = result
        .err()
        .map(|e| (e.kind(), e.to_string()))
        .unwrap_or((ErrorKind::Internal, String::new()));
    assert!(error.1.contains("some/file"), "{} does not name the file", error.1);
    error
}

#[track_caller]
fn refused_as(file: &[u8], kind: ErrorKind, words: &str) {
    for file in [file.to_vec(), gz(file)] {
        let (got, text) = refused(&file);
        assert_eq!(got, kind, "{text}");
        assert!(text.contains(words), "{text:?} does not say {words:?}");
    }
}

#[test]
fn good_files_of_any_rank() -> Result<()> {
    for sizes in [&[][..], &[6], &[2, 3], &[1, 2, 3], &[1, 1, 2, 3, 1, 1, 1]] {
        let count = sizes.iter().product::<u32>();
        let data: Vec<u8> = (0..count as u8).collect();
        for file in [idx(8, sizes, &data), gz(&idx(8, sizes, &data))] {
            let read = Idx::from_bytes("good", &file)?;
            assert_eq!(read.data(), data);
            assert!(read.shape().iter().map(|&n| n as u32).eq(sizes.iter().copied()));
        }
    }
    assert_eq!(Idx::from_bytes("empty", &idx(8, &[0, 28, 28], &[]))?.shape(), [0, 28, 28]);
    Ok(())
}

#[test]
fn gzip_in_several_members() -> Result<()> {
    let file = idx(8, &[4], &[1, 2, 3, 4]);
    let packed = [gz(&file[..6]), gz(&file[6..])].concat();
    assert_eq!(Idx::from_bytes("members", &packed)?.data(), [1, 2, 3, 4]);
    Ok(())
}

#[test]
fn wrong_magic() {
    for start in [[1, 0, 8, 1], [0, 8, 0, 1], *b"PK\x03\x04", *b"<htm", [0x89, b'P', b'N', b'G']] {
        let file = [&start[..], &[0, 0, 0, 1, 7]].concat();
        refused_as(&file, ErrorKind::Format, "begins with");
    }
    refused_as(&idx(0x0a, &[1], &[7]), ErrorKind::Format, "0x0a does not exist");
}

#[test]
fn other_element_types_by_name() {
    for (element, name) in [(9, "i8"), (0xb, "i16"), (0xc, "i32"), (0xd, "f32"), (0xe, "f64")] {
        refused_as(&idx(element, &[1], &[0; 8]), ErrorKind::Format, name);
    }
}

#[test]
fn truncated_at_every_byte() {
    let file = idx(8, &[2, 3], &[1, 2, 3, 4, 5, 6]);
    for end in 0..file.len() {
        refused_as(&file[..end], ErrorKind::Format, "truncated");
    }
    let packed = gz(&file);
    for end in 0..packed.len() {
        let (kind, text) = refused(&packed[..end]);
        assert_eq!(kind, ErrorKind::Format, "{end} of {}: {text}", packed.len());
        assert!(text.contains("truncated") || text.contains("begins with"), "{text}");
    }
}

#[test]
fn trailing_bytes() {
    refused_as(&idx(8, &[2], &[1, 2, 3]), ErrorKind::Format, "more bytes follow");
    let (kind, _) = refused(&[gz(&idx(8, &[2], &[1, 2])), vec![7]].concat());
    assert_eq!(kind, ErrorKind::Format);
    let (kind, _) = refused(&[gz(&idx(8, &[2], &[1, 2])), gz(&[3])].concat());
    assert_eq!(kind, ErrorKind::Format);
}

#[test]
fn sizes_that_overflow_or_are_merely_claimed() {
    const MAX: u32 = u32::MAX;
    refused_as(&idx(8, &[MAX, MAX, MAX], &[1, 2]), ErrorKind::Format, "overflow");
    refused_as(&idx(8, &[1 << 31; 255], &[1, 2]), ErrorKind::Format, "overflow");
    // 2^32 x 2^32 (as near as u32 comes) fits 64 bits: refused by size
    if cfg!(target_pointer_width = "64") {
        refused_as(&idx(8, &[MAX, MAX], &[1, 2]), ErrorKind::Size, "claim");
        refused_as(&idx(8, &[1 << 31, 2], &[1, 2]), ErrorKind::Size, "claim");
    }
    refused_as(&idx(8, &[1 << 31], &[1, 2]), ErrorKind::Format, "truncated: 2 of");
    refused_as(&idx(8, &[60_000, 28, 28], &[1, 2]), ErrorKind::Format, "truncated: 2 of");
}

#[test]
fn gzip_bombs() {
    // 64 MiB from 64 kB, behind a header that claims 10 bytes
    let mut bomb = idx(8, &[10], &[]);
    bomb.resize(64 << 20, 0);
    let packed = gz(&bomb);
    assert!(packed.len() < 400_000);
    let (kind, text) = refused(&packed);
    assert_eq!(kind, ErrorKind::Format);
    assert!(text.contains("more bytes follow"), "{text}");
    // a gzip file within a gzip file is not unpacked twice
    let (kind, text) = refused(&gz(&gz(&bomb)));
    assert_eq!(kind, ErrorKind::Format);
    assert!(text.contains("begins with"), "{text}");
}

#[test]
fn one_flipped_bit_in_gzip_never_gives_other_data() -> Result<()> {
    let file = idx(8, &[4, 5], &(0..20).collect::<Vec<u8>>());
    let packed = gz(&file);
    let good = Idx::from_bytes("flipped", &packed)?;
    for bit in 0..packed.len() * 8 {
        let mut flipped = packed.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        match Idx::from_bytes("flipped", &flipped) {
            Ok(read) => assert!(read == good, "bit {bit} gives other data"), // a time stamp, say
            Err(error) => {
                let refused = matches!(error.kind(), ErrorKind::Format | ErrorKind::Size);
                assert!(refused, "bit {bit}: {error}");
            }
        }
    }
    Ok(())
}

fn set(images: &[u8], labels: &[u8]) -> Result<Dataset> {
    let images = Idx::from_bytes("images", images)?;
    Dataset::from_idx(&images, &Idx::from_bytes("labels", labels)?, 10)
}

#[track_caller]
fn bad_set(images: &[u8], labels: &[u8], words: &str) {
    let error = set(images, labels).err();
    assert_eq!(error.as_ref().map(Error::kind), Some(ErrorKind::Format));
    let text = error.map(|e| e.to_string()).unwrap_or_default();
    assert!(text.contains(words), "{text:?} does not say {words:?}");
}

#[test]
fn images_and_labels_that_do_not_fit() -> Result<()> {
    let images = idx(8, &[2, 1, 2], &[0, 255, 51, 0]);
    let good = set(&images, &idx(8, &[2], &[3, 9]))?;
    assert_eq!(good.get(0), Some((&[0.0, 1.0][..], 3)));
    assert_eq!(good.get(1), Some((&[0.2, 0.0][..], 9)));
    assert_eq!(good.get(2), None);

    bad_set(
        &images,
        &idx(8, &[3], &[1, 2, 3]),
        "images has 2 images, but labels has the shape [3]",
    );
    bad_set(&images, &idx(8, &[2, 1], &[1, 2]), "the shape [2, 1]");
    bad_set(&images, &images, "the shape [2, 1, 2]");
    bad_set(&idx(8, &[], &[1]), &idx(8, &[2], &[1, 2]), "need one axis");
    bad_set(&images, &idx(8, &[2], &[1, 10]), "labels: label 10 at position 1 lies outside 0..10");
    bad_set(&images, &idx(8, &[2], &[255, 1]), "label 255 at position 0");
    Ok(())
}

#[test]
fn labels_given_by_hand() {
    let kind = |samples: usize, labels: Vec<i32>| {
        Dataset::new(vec![0.0; samples], &[2], labels, 3).err().map(|e| e.kind())
    };
    assert_eq!(kind(4, vec![0, 2]), None);
    assert_eq!(kind(4, vec![0, -1]), Some(ErrorKind::Index));
    assert_eq!(kind(4, vec![0, 3]), Some(ErrorKind::Index));
    assert_eq!(kind(5, vec![0, 1]), Some(ErrorKind::Shape));
    let huge = Dataset::new(Vec::new(), &[usize::MAX, 2], Vec::new(), 3);
    assert_eq!(huge.err().map(|e| e.kind()), Some(ErrorKind::Size));
}

/// A fresh folder for one test.
fn folder(name: &str) -> std::io::Result<PathBuf> {
    let folder =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

#[test]
fn folders() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let folder = folder("folders")?;
    let error = |folder: &PathBuf| match Dataset::from_folder(folder, 10) {
        Ok(sets) => Err(format!("read as {sets:?}")),
        Err(error) => Ok((error.kind(), error.to_string())),
    };
    let (kind, text) = error(&folder)?;
    assert_eq!(kind, ErrorKind::Io);
    assert!(text.contains("train-images-idx3-ubyte.gz"), "{text}");

    let images = |n: u32| idx(8, &[n, 2, 2], &vec![9; n as usize * 4]);
    let labels = |n: u32| idx(8, &[n], &vec![1; n as usize]);
    fs::write(folder.join("train-images-idx3-ubyte"), images(3))?;
    fs::write(folder.join("train-labels-idx1-ubyte.gz"), gz(&labels(3)))?;
    fs::write(folder.join("t10k-images-idx3-ubyte.gz"), gz(&images(2)))?;
    fs::write(folder.join("t10k-labels-idx1-ubyte"), labels(2))?;
    let (train, test) = Dataset::from_folder(&folder, 10)?;
    assert_eq!((train.len(), test.len(), train.sample_shape()), (3, 2, &[2, 2][..]));

    // images of another size in the test set
    fs::write(folder.join("t10k-images-idx3-ubyte.gz"), gz(&idx(8, &[2, 1, 2], &[0; 4])))?;
    let (kind, text) = error(&folder)?;
    assert_eq!(kind, ErrorKind::Format);
    assert!(text.contains("must be alike"), "{text}");

    // a folder where a file should be, and a file where the folder should be
    fs::remove_file(folder.join("t10k-labels-idx1-ubyte"))?;
    fs::create_dir(folder.join("t10k-labels-idx1-ubyte"))?;
    assert_eq!(error(&folder)?.0, ErrorKind::Io);
    assert_eq!(error(&folder.join("train-images-idx3-ubyte"))?.0, ErrorKind::Io);
    let nul = Idx::open("a\0b").err().map(|e| e.kind());
    assert_eq!(nul, Some(ErrorKind::Io));
    fs::remove_dir_all(&folder)?;
    Ok(())
}

/// Weights, `.npy` and `.npz` files that claim far more than they have: no memory is asked for on a mere claim.
#[test]
fn other_files_that_claim_much() -> std::result::Result<(), Box<dyn std::error::Error>> {
    use wgrad_core::Device;
    use wgrad_nn::{Mlp, Npy, Npz, load_weights};
    let largest = |kind: ErrorKind, result: Result<()>| {
        let largest = LARGEST.get();
        assert_eq!(result.err().map(|e| e.kind()), Some(kind));
        assert!(largest < 1_000_000, "asked for {largest} bytes at once");
        LARGEST.set(0);
    };
    let folder = folder("claims")?;
    let path = folder.join("weights");
    let model = Mlp::new(&[2, 1], &Device::cpu())?;
    let header = |shape: &str, end: u64| {
        let text = format!(
            r#"{{"layers.0.weight":{{"dtype":"F32","shape":{shape},"data_offsets":[0,{end}]}}}}"#
        );
        [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
    };
    let files = [
        u64::MAX.to_le_bytes().to_vec(),
        (8u64 << 20).to_le_bytes().to_vec(),
        header("[1,2]", 8),
        header("[1099511627776]", 4 << 40),
        header("[1,2]", u64::MAX),
    ];
    for file in files {
        fs::write(&path, file)?;
        LARGEST.set(0);
        largest(ErrorKind::Format, load_weights(&model, &path).map(drop));
    }
    let npy = |shape: &str| {
        let text = format!("{{'descr': '<f4', 'fortran_order': True, 'shape': {shape}, }}");
        [b"\x93NUMPY\x01\x00", &(text.len() as u16).to_le_bytes()[..], text.as_bytes(), &[0; 8]]
            .concat()
    };
    for (shape, kind) in [("(1000000000,)", ErrorKind::Format), ("(4, 900000000)", ErrorKind::Size)]
    {
        LARGEST.set(0);
        largest(kind, Npy::from_bytes("claims", &npy(shape)).map(drop));
    }
    let mut end = b"PK\x05\x06\0\0\0\0".to_vec();
    end.extend([0xff; 4]);
    end.extend([0; 10]);
    largest(ErrorKind::Format, Npz::from_bytes("claims", &end).map(drop));
    fs::remove_dir_all(&folder)?;
    Ok(())
}
