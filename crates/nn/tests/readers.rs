//! CSV, `.npy`, `.npz`, text and image files: what is read, and that any damage is a typed error.

use flate2::{Compression, write::DeflateEncoder};
use std::io::Write;
use wgrad_core::{Error, ErrorKind, Result, philox::Stream};
use wgrad_nn::{Csv, CsvOptions, Npy, Npz, Samples, Standard, Vocabulary, Windows};

type Tested = std::result::Result<(), Box<dyn std::error::Error>>;

fn csv(text: &str) -> Result<Csv> {
    Csv::from_bytes("t.csv", text.as_bytes())
}

fn said<T>(result: Result<T>) -> (Option<ErrorKind>, String) {
    let error = result.err();
    (error.as_ref().map(Error::kind), error.map(|e| e.message().to_owned()).unwrap_or_default())
}

#[test]
fn tables() -> Tested {
    let text = "a,b,name\r\n1,-2.5e1, x\r\n\r\n\"3\",\" 4\",\"say \"\"hi\"\", she\nsaid\"\r\n";
    for text in [text.to_owned(), text.replace("\r\n", "\n"), format!("\u{feff}{text}")] {
        let table = csv(&text)?;
        assert_eq!((table.rows(), table.columns().len()), (2, 3));
        assert_eq!(table.numbers(&["b", "a"])?.as_f32()?, [-25.0, 1.0, 4.0, 3.0]);
        assert_eq!(table.numbers_without(&["name"])?.shape(), [2, 2]);
        assert_eq!(table.cell(1, 2), Some("say \"hi\", she\nsaid"));
        assert_eq!((table.cell(0, 3), table.cell(2, 0)), (None, None));
        assert_eq!(table.labels("a")?.as_i32()?, [1, 3]);
        let (labels, classes) = table.classes("name")?;
        assert_eq!((labels.as_i32()?, classes[1].as_str()), (&[1, 0][..], "x"));
    }
    let plain = CsvOptions { delimiter: b'\t', headers: false }.from_bytes("t", b"1\t2\n3\t4")?;
    assert_eq!(plain.numbers(&["1"])?.as_f32()?, [2.0, 4.0]);
    assert_eq!(csv("a,b")?.rows(), 0);
    assert_eq!(csv("a,b\n,\n")?.cell(0, 1), Some(""));
    Ok(())
}

#[test]
fn damaged_tables() -> Tested {
    let format = Some(ErrorKind::Format);
    for (text, words) in [
        ("a,b\n1,2\n3\n", "t.csv, line 3: 1 cells; the first row has 2"),
        ("a,b\n\"x\ny\",2\n3,4,5\n", "t.csv, line 4: 3 cells"),
        ("a,b\n1,\"2\n3,4\n", "line 2: a quote is opened and never closed"),
        ("a,b\n1,2\"\n", "line 2: a quote within a cell"),
        ("a,b\n1,\"2\"x\n", "line 2: characters follow a closing quote"),
        ("a,b\n1\r,2\n", "line 2: characters follow"),
        ("a,a\n1,2\n", "line 1: column 1 has the name \"a\" of another one"),
        ("", "line 1: there is no row"),
        ("\n\r\n\n", "there is no row"),
    ] {
        let (kind, message) = said(csv(text));
        assert_eq!(kind, format, "{text:?}");
        assert!(message.contains(words), "{message:?} does not say {words:?}");
    }
    let (kind, message) = said(Csv::from_bytes("t.csv", b"a,b\n1,\xff\n"));
    assert!(kind == format && message.contains("line 2: it is not UTF-8"), "{message}");
    let table = csv("a,b\n1,2\n3,x\n")?;
    let (kind, message) = said(table.numbers(&["a", "b"]));
    assert!(
        kind == format && message.contains("line 3: \"x\" in the column \"b\" is not a number"),
        "{message}"
    );
    let (kind, message) = said(csv("a\n1.5\n")?.labels("a"));
    assert!(kind == format && message.contains("line 2"), "{message}");
    let (kind, message) = said(table.numbers(&["c"]));
    assert!(kind == Some(ErrorKind::Argument) && message.contains("[\"a\", \"b\"]"), "{message}");
    let bad = CsvOptions { delimiter: b'"', headers: true }.from_bytes("t", b"a");
    assert_eq!(said(bad).0, Some(ErrorKind::Argument));
    assert_eq!(said(Csv::open("there/is/none.csv")).0, Some(ErrorKind::Io));
    Ok(())
}

/// A file as NumPy writes it.
fn npy(version: u8, descr: &str, fortran: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header =
        format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
    let mut file = b"\x93NUMPY".to_vec();
    file.extend([version, 0]);
    match version {
        1 => file.extend((header.len() as u16).to_le_bytes()),
        _ => file.extend((header.len() as u32).to_le_bytes()),
    }
    [&file[..], header.as_bytes(), data].concat()
}

fn bytes<T: Copy, const N: usize>(numbers: &[T], to: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    numbers.iter().flat_map(|&x| to(x)).collect()
}

#[test]
fn arrays_of_numpy() -> Tested {
    let six = bytes(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], f32::to_le_bytes);
    for version in 1..=3 {
        let read = Npy::from_bytes("a", &npy(version, "<f4", "False", "(2, 3)", &six))?;
        assert_eq!(
            (read.shape(), read.to_f32()?.as_f32()?),
            (&[2, 3][..], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0][..])
        );
        assert_eq!(said(read.to_i32()).0, Some(ErrorKind::DType));
    }
    let read = Npy::from_bytes("a", &npy(1, "<f4", "True", "(2, 3)", &six))?;
    assert_eq!(read.to_f32()?.as_f32()?, [1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
    let eight = bytes(&[0, 1, 2, 3, 4, 5, 6, 7], i32::to_le_bytes);
    let read = Npy::from_bytes("a", &npy(1, "<i4", "True", "(2, 2, 2)", &eight))?;
    assert_eq!(read.to_i32()?.as_i32()?, [0, 4, 2, 6, 1, 5, 3, 7]);
    let read = Npy::from_bytes("a", &npy(1, "<f8", "False", "()", &0.1f64.to_le_bytes()))?;
    assert_eq!(read.to_f32()?.as_f32()?, [0.1]);
    let read = Npy::from_bytes("a", &npy(1, "|u1", "False", "(3,)", &[0, 7, 255]))?;
    assert_eq!(
        (read.to_i32()?.as_i32()?, read.to_f32()?.as_f32()?),
        (&[0, 7, 255][..], &[0.0, 7.0, 255.0][..])
    );
    let wide = bytes(&[-1i64, 1 << 40], i64::to_le_bytes);
    let read = Npy::from_bytes("a", &npy(1, "<i8", "False", "(2,)", &wide))?;
    let (kind, text) = said(read.to_i32());
    assert!(
        kind == Some(ErrorKind::Format) && text.contains("1099511627776 at position 1"),
        "{text}"
    );
    assert_eq!(
        Npy::from_bytes("a", &npy(1, "<f4", "False", "(0, 5)", &[]))?.to_f32()?.shape(),
        [0, 5]
    );
    Ok(())
}

#[test]
fn damaged_arrays() -> Tested {
    let good = npy(1, "<f4", "False", "(2, 3)", &[0; 24]);
    for end in 0..good.len() {
        let (kind, text) = said(Npy::from_bytes("some/file", &good[..end]));
        assert_eq!(kind, Some(ErrorKind::Format), "{end}: {text}");
        assert!(text.starts_with("some/file: "), "{text}");
    }
    let bad = |descr, fortran, shape| {
        said(Npy::from_bytes("a", &npy(1, descr, fortran, shape, &[0; 24])))
    };
    for (descr, fortran, shape, words) in [
        (">f4", "False", "(2, 3)", "holds \">f4\""),
        ("<f2", "False", "(2, 3)", "holds \"<f2\""),
        ("|O", "False", "(2, 3)", "holds \"|O\""),
        ("<f4", "Maybe", "(2, 3)", "damaged"),
        ("<f4", "False", "(2, -3)", "damaged"),
        ("<f4", "False", "(2, 3", "damaged"),
        ("<f4", "False", "2, 3", "damaged"),
        ("<f4", "False", "(2, 3), 'shape': (6,)", "damaged"),
        ("<f4", "False", "(2, 3), 'more': 1", "damaged"),
        ("<f4", "False", "(2, 2)", "more bytes follow"),
        ("<f4", "False", "(4294967296, 4294967296)", "overflow"),
        ("<f4", "False", "(99999999999999999999,)", "damaged"),
    ] {
        let (kind, text) = bad(descr, fortran, shape);
        assert_eq!(kind, Some(ErrorKind::Format), "{text}");
        assert!(text.contains(words), "{text:?} does not say {words:?}");
    }
    assert_eq!(bad("<f4", "False", "(1099511627776,)").0, Some(ErrorKind::Size));
    let mut four = good.clone();
    four[6] = 4;
    assert!(said(Npy::from_bytes("a", &four)).1.contains("version 4"));
    Ok(())
}

/// A zip file with these entries.
fn zip(entries: &[(&str, &[u8])], deflate: bool) -> std::io::Result<Vec<u8>> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in entries {
        let packed = if deflate {
            let mut packer = DeflateEncoder::new(Vec::new(), Compression::fast());
            packer.write_all(data)?;
            packer.finish()?
        } else {
            data.to_vec()
        };
        let mut about = vec![20, 0, 0, 0, if deflate { 8 } else { 0 }, 0, 0, 0, 0, 0];
        about.extend(crc32fast::hash(data).to_le_bytes());
        about.extend((packed.len() as u32).to_le_bytes());
        about.extend((data.len() as u32).to_le_bytes());
        about.extend((name.len() as u16).to_le_bytes());
        about.extend([0, 0]);
        let at = file.len() as u32;
        directory.extend(
            [&b"PK\x01\x02\x14\x00"[..], &about, &[0; 10], &at.to_le_bytes(), name.as_bytes()]
                .concat(),
        );
        file.extend([&b"PK\x03\x04"[..], &about, name.as_bytes(), &packed].concat());
    }
    let (start, count) = (file.len() as u32, (entries.len() as u16).to_le_bytes());
    let size = (directory.len() as u32).to_le_bytes();
    file.extend(directory);
    file.extend(
        [&b"PK\x05\x06\0\0\0\0"[..], &count, &count, &size, &start.to_le_bytes(), &[0, 0]].concat(),
    );
    Ok(file)
}

#[test]
fn several_arrays() -> Tested {
    let x = npy(1, "<f4", "False", "(2,)", &bytes(&[1.5f32, 2.5], f32::to_le_bytes));
    let y = npy(1, "<i8", "False", "(1,)", &7i64.to_le_bytes());
    for deflate in [false, true] {
        let file = zip(&[("x.npy", &x), ("y.npy", &y)], deflate)?;
        let read = Npz::from_bytes("f.npz", &file)?;
        assert_eq!(read.names(), ["x", "y"]);
        assert_eq!(read.get("x")?.to_f32()?.as_f32()?, [1.5, 2.5]);
        assert_eq!(read.get("y")?.to_i32()?.as_i32()?, [7]);
        assert!(said(read.get("z")).1.contains("[\"x\", \"y\"]"));
        for end in 0..file.len() {
            assert_eq!(
                said(Npz::from_bytes("f.npz", &file[..end])).0,
                Some(ErrorKind::Format),
                "{end}"
            );
        }
        for bit in 0..file.len() * 8 {
            let mut flipped = file.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(other) = Npz::from_bytes("f.npz", &flipped) {
                // Times, flags and the like may differ; names too, which no sum covers. Numbers may not.
                let numbers = |npz: &Npz| -> Result<Vec<Vec<f32>>> {
                    npz.names()
                        .iter()
                        .map(|n| Ok(npz.get(n)?.to_f32()?.as_f32()?.to_vec()))
                        .collect()
                };
                assert_eq!(numbers(&other)?, numbers(&read)?, "bit {bit}");
            }
        }
    }
    let twice = zip(&[("x.npy", &x), ("x.npy", &x)], true)?;
    assert!(said(Npz::from_bytes("f.npz", &twice)).1.contains("twice"));
    // 64 MiB from some kB, of which the directory says 100 bytes.
    let mut bomb = zip(&[("x.npy", &vec![0; 64 << 20])], true)?;
    let end = bomb.len() - 22;
    let size_at = end - 5 - 46 + 24;
    bomb[size_at..size_at + 4].copy_from_slice(&100u32.to_le_bytes());
    assert!(said(Npz::from_bytes("f.npz", &bomb)).1.contains("size or checksum"));
    Ok(())
}

/// `np.savez_compressed(f, x=np.asfortranarray(np.array([[1, 2, 3], [4, 5, 6]], "<f4")), y=np.array([7, -8], "<i8"))`
/// by NumPy 2.4.6.
const BY_NUMPY: &[u8] =
    b"PK\x03\x04-\x00\x00\x00\x08\x00\x00\x00!\x00\xb2g\xdd#\xff\xff\xff\xff\xff\xff\xff\xff\
      \x05\x00\x14\x00x.npy\x01\x00\x10\x00\x98\x00\x00\x00\x00\x00\x00\x00W\x00\x00\x00\x00\
      \x00\x00\x00\x9b\xec\x17\xea\x1b\x10\xc9\xc8P\xc6P\xad\x9e\x92Z\x9c\x5c\xa4n\xa5\xa0n\
      \x93f\xa2\xae\xa3\xa0\x9e\x96_TR\x94\x98\x17\x9f_\x94\x92\x0a\x12\x0f)*M\x05\x0a\x17g$\
      \x16\xa4\x02\xb9\x1aF:\x0a\xc6\x9a:\x0a\xb5\x0a\xe4\x03.\x06\x86\x06{ v```\x00\xe2\x05@\
      \xec\x00\xc4\x07\x1c\x00PK\x03\x04-\x00\x00\x00\x08\x00\x00\x00!\x00\xf9\x9b\x0b\xb6\xff\
      \xff\xff\xff\xff\xff\xff\xff\x05\x00\x14\x00y.npy\x01\x00\x10\x00\x90\x00\x00\x00\x00\
      \x00\x00\x00K\x00\x00\x00\x00\x00\x00\x00\x9b\xec\x17\xea\x1b\x10\xc9\xc8P\xc6P\xad\x9e\
      \x92Z\x9c\x5c\xa4n\xa5\xa0n\x93i\xa1\xae\xa3\xa0\x9e\x96_TR\x94\x98\x17\x9f_\x94\x92\x0a\
      \x12wK\xcc)N\x05\x8a\x17g$\x16\xa4\x02\xf9\x1aF:\x9a:\x0a\xb5\x0a\x14\x00.v\x06\x08\xf8\
      \xf1\x1f\x02\x00PK\x01\x02-\x03-\x00\x00\x00\x08\x00\x00\x00!\x00\xb2g\xdd#W\x00\x00\x00\
      \x98\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x01\x00\x00\x00\x00\
      x.npyPK\x01\x02-\x03-\x00\x00\x00\x08\x00\x00\x00!\x00\xf9\x9b\x0b\xb6K\x00\x00\x00\x90\
      \x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x01\x8e\x00\x00\x00y.np\
      yPK\x05\x06\x00\x00\x00\x00\x02\x00\x02\x00f\x00\x00\x00\x10\x01\x00\x00\x00\x00";

#[test]
fn a_file_of_numpy() -> Tested {
    let read = Npz::from_bytes("f.npz", BY_NUMPY)?;
    assert_eq!(read.names(), ["x", "y"]);
    let x = read.get("x")?.to_f32()?;
    assert_eq!((x.shape(), x.as_f32()?), (&[2, 3][..], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0][..]));
    assert_eq!(read.get("y")?.to_i32()?.as_i32()?, [7, -8]);
    Ok(())
}

#[test]
fn garbage_never_panics() -> Tested {
    let x = npy(1, "<f4", "True", "(2, 3)", &[1; 24]);
    let packed = zip(&[("x.npy", &x)], true)?;
    let table = b"a,\"b\"\"c\",d\n1,2,3\r\n4,\"5\n\",6\n".to_vec();
    let mut random = Stream::new(9, 0);
    for turn in 0..30_000 {
        let mut bad = [&x, &packed, &table][turn % 3].clone();
        for _ in 0..=random.below(6) {
            let at = random.below(bad.len() as u32) as usize;
            match random.below(4) {
                0 => bad[at] = random.next_u32() as u8,
                1 if bad.len() > 1 => drop(bad.remove(at)),
                2 => bad.insert(at, b"\"',\n\r()0PK\xff"[random.below(11) as usize]),
                _ => bad.truncate(at.max(1)),
            }
        }
        let _ = Npy::from_bytes("garbage", &bad)
            .map(|npy| (npy.to_f32().is_ok(), npy.to_i32().is_ok()));
        let _ = Npz::from_bytes("garbage", &bad).map(|npz| npz.names().len());
        let _ = Csv::from_bytes("garbage", &bad).map(|csv| csv.numbers(&["a"]).is_ok());
    }
    Ok(())
}

#[test]
fn standard_columns() -> Tested {
    let table = csv("a,b,c\n1,5,1000001\n2,5,1000002\n3,5,1000003\n6,5,1000006\n")?;
    let x = table.numbers(&["a", "b", "c"])?;
    let standard = Standard::of(&x)?;
    // By hand: mean 3, squares 4 + 1 + 0 + 9 over 4 = 3.5.
    assert_eq!(standard.mean(), [3.0, 5.0, 1_000_003.0]);
    let deviation = 3.5f32.sqrt();
    assert_eq!(standard.deviation(), [deviation, 1.0, deviation]);
    let y = standard.apply(&x)?;
    assert_eq!(y.as_f32()?[..3], [-2.0 / deviation, 0.0, -2.0 / deviation]);
    assert_eq!(standard.undo(&y)?.as_f32()?[9], 6.0);
    assert!(standard.apply(&table.numbers(&["a"])?).is_err());
    let (kind, text) = said(Standard::of(&csv("a,b\n1,2\n3,nan\n")?.numbers(&["a", "b"])?));
    assert!(kind == Some(ErrorKind::Data) && text.contains("row 1, column 1"), "{text}");
    assert_eq!(said(Standard::of(&csv("a\n")?.numbers(&["a"])?)).0, Some(ErrorKind::Empty));
    Ok(())
}

#[test]
fn texts() -> Tested {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("text-{}", std::process::id()));
    std::fs::write(&path, "ünter")?;
    let (windows, words) = Windows::of_characters(&path, 3)?;
    assert_eq!((windows.len(), words.len()), (2, 5));
    let sample = windows.get(0, &mut Stream::new(0, 0))?;
    assert_eq!(words.decode(sample[1].as_i32()?)?, "nte");
    assert_eq!(said(windows.get(2, &mut Stream::new(0, 0))).0, Some(ErrorKind::Data));
    assert_eq!(said(windows.get(usize::MAX, &mut Stream::new(0, 0))).0, Some(ErrorKind::Data));
    assert_eq!(Windows::of_bytes(&path, 3)?.len(), 3);
    std::fs::write(&path, b"ab\xffcd")?;
    let (kind, text) = said(Windows::of_characters(&path, 2));
    assert!(kind == Some(ErrorKind::Format) && text.contains("from byte 2"), "{text}");
    std::fs::remove_file(&path)?;
    assert_eq!(said(Windows::of_bytes(&path, 2)).0, Some(ErrorKind::Io));
    assert!(said(words.encode("unter")).1.contains("'u', character 0"));
    assert!(said(words.decode(&[0, 9])).1.contains("number 9 at position 1"));
    assert!(said(words.decode(&[-1])).1.contains("outside 0..5"));
    assert_eq!(said(Vocabulary::of("")).0, Some(ErrorKind::Empty));
    for length in [0, 4, 5] {
        assert_eq!(said(Windows::new(vec![1, 2, 3, 4], length)).0, Some(ErrorKind::Argument));
    }
    Ok(())
}
