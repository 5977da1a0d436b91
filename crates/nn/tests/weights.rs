//! Files of weights: what is read and written, each kind of damage, and every difference from the model.

use safetensors::{Dtype, SafeTensors, View, serialize};
use std::{borrow::Cow, fs, path::PathBuf};
use wgrad_core::{Device, ErrorKind, Result, Tensor};
use wgrad_nn::{
    BatchNorm1d, Buffer, Init, Linear, LoadWeights, Module, Parameter, load_weights, module,
    save_weights,
};

type Tested = std::result::Result<(), Box<dyn std::error::Error>>;

struct Net {
    body: Linear,
    scale: Parameter,
    mean: Buffer,
}
module!(Net { body, scale, mean });

fn net(seed: u64) -> Result<Net> {
    let mut init = Init::new(seed);
    let body = Linear::new(3, 2, &mut init)?;
    let mean = Buffer::new(&[2], vec![seed as f32, 0.5])?;
    Net { body, scale: Parameter::new(&[], vec![seed as f32])?, mean }.on(&Device::cpu())
}

fn values(net: &Net) -> Result<Vec<f32>> {
    Ok([net.parameters()?.values().to_vec::<f32>()?, net.mean.tensor()?.to_vec()?].concat())
}

/// A file for one test.
fn path(name: &str) -> std::io::Result<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(&folder)?;
    Ok(folder.join(format!("{name}-{}.safetensors", std::process::id())))
}

/// What loading bytes into a net gives; an error must leave the net alone and name the file.
#[track_caller]
fn refused(
    name: &str,
    bytes: &[u8],
) -> std::result::Result<(ErrorKind, String), Box<dyn std::error::Error>> {
    let path = path(name)?;
    fs::write(&path, bytes)?;
    let net = net(7)?;
    let before = values(&net)?;
    let result = load_weights(&net, &path);
    fs::remove_file(&path)?;
    match result {
        Ok(loaded) => Err(format!("read as {loaded:?}").into()),
        Err(error) => {
            assert!(error.to_string().contains(name), "{error}");
            assert_eq!(values(&net)?, before, "changed in spite of {error}");
            Ok((error.kind(), error.message().to_owned()))
        }
    }
}

fn saved(name: &str, net: &Net) -> std::result::Result<Vec<u8>, Box<dyn std::error::Error>> {
    let path = path(name)?;
    save_weights(net, &path)?;
    let bytes = fs::read(&path)?;
    fs::remove_file(&path)?;
    Ok(bytes)
}

/// A file with this header and these numbers.
fn file(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
}

#[test]
fn there_and_back() -> Tested {
    let path = path("round")?;
    let (one, two) = (net(1)?, net(2)?);
    one.scale.tensor()?.assign(&Tensor::scalar(f32::from_bits(0x7f80_0001), &Device::cpu())?)?;
    save_weights(&one, &path)?;
    let loaded = load_weights(&two, &path)?;
    assert_eq!(loaded.not_finite(), ["scale"]);
    let bits = |net| Ok::<_, wgrad_core::Error>(values(net)?.into_iter().map(f32::to_bits));
    assert!(bits(&one)?.eq(bits(&two)?));
    let first = fs::read(&path)?;
    save_weights(&two, &path)?;
    assert_eq!(fs::read(&path)?, first, "the same bytes again");
    fs::remove_file(&path)?;

    // Another reader finds what PyTorch's users expect.
    let read = SafeTensors::deserialize(&first)?;
    let mut names = read.names();
    names.sort_unstable();
    assert_eq!(names, ["body.bias", "body.weight", "mean", "scale"]);
    let weight = read.tensor("body.weight")?;
    assert_eq!((weight.dtype(), weight.shape()), (Dtype::F32, &[2, 3][..]));
    let numbers: Vec<f32> =
        weight.data().as_chunks().0.iter().map(|&x| f32::from_le_bytes(x)).collect();
    assert_eq!(numbers, one.body.weight.tensor()?.to_vec::<f32>()?);
    assert_eq!(read.tensor("scale")?.shape(), [0usize; 0]);
    Ok(())
}

#[test]
fn truncated_at_every_byte() -> Tested {
    let bytes = saved("cut", &net(1)?)?;
    for end in 0..bytes.len() {
        let (kind, text) = refused("cut", &bytes[..end])?;
        assert_eq!(kind, ErrorKind::Format, "{end}: {text}");
    }
    let (kind, text) = refused("cut", &[&bytes[..], &[0]].concat())?;
    assert_eq!(kind, ErrorKind::Format);
    assert!(text.contains("follow"), "{text}");
    Ok(())
}

#[test]
fn every_flipped_bit_is_found() -> Tested {
    let bytes = saved("flipped", &net(1)?)?;
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let (kind, text) = refused("flipped", &flipped)?;
        let typed = matches!(kind, ErrorKind::Format | ErrorKind::Mismatch | ErrorKind::DType);
        assert!(typed, "bit {bit}: {text}");
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "bit {bit}: {text:?}");
    }
    Ok(())
}

#[test]
fn damaged_headers() -> Tested {
    let good =
        |name: &str| format!(r#"{{"{name}":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}"#);
    let one = |shape: &str, from: &str, to: &str| {
        format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":[{from},{to}]}}}}"#)
    };
    let two = |a: &str, b: &str| {
        let t = |name, at| format!(r#""{name}":{{"dtype":"U8","shape":[4],"data_offsets":{at}}}"#);
        format!("{{{},{}}}", t("a", a), t("b", b))
    };
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let zeros = [0; 8];
    let format = [
        [&u64::MAX.to_le_bytes()[..], b"{}"].concat(),
        [&(100u64).to_le_bytes()[..], b"{}"].concat(),
        [&(9u64 << 20).to_le_bytes()[..], &vec![b' '; 9 << 20]].concat(),
        vec![0; 8],
        b"PK\x03\x04 a zip file".to_vec(),
        file("", &[]),
        file("\u{0}\u{0}", &[]),
        file("[]", &[]),
        file("{", &[]),
        file("{}{}", &[]),
        file(" {}", &[]),
        [&2u64.to_le_bytes()[..], &[b'{', 0xff]].concat(),
        file(&deep, &[]),
        file("{\"a\":1}", &[]),
        file(&good("a").replace("}}", "},\"a\":1}"), &zeros[..4]),
        file(&good("a").replace("F32", "X9"), &zeros[..4]),
        file(&good("a").replace("F32", "F4"), &zeros[..4]),
        file(&good("a").replace("[1]", "[-1]"), &zeros[..4]),
        file(&good("a").replace("[1]", "[1.5]"), &zeros[..4]),
        file(&good("a").replace("[1]", "[2]"), &zeros[..4]),
        file(&good("a"), &zeros[..3]),
        file(&good("a"), &zeros[..5]),
        file(&one("[1]", "4", "8"), &zeros),
        file(&one("[1]", "4", "0"), &zeros[..4]),
        file(&one("[1]", "18446744073709551612", "0"), &[]),
        file(&one("[1]", "0", "18446744073709551615"), &zeros),
        file(&one("[18446744073709551615]", "0", "4"), &zeros[..4]),
        file(&one("[4294967296,4294967296]", "0", "4"), &zeros[..4]),
        file(&one("[99999999999999999999999]", "0", "4"), &zeros[..4]),
        file(&two("[0,4]", "[0,4]"), &zeros[..4]),
        file(&two("[0,4]", "[2,6]"), &zeros[..6]),
        file(&two("[0,4]", "[5,9]"), &[0; 9]),
        file(&two("[0,4]", "[4,8]").replace("\"b\"", "\"a\""), &zeros),
        file(&one(&format!("[{}1]", "1,".repeat(70)), "0", "4"), &zeros[..4]),
        file(&format!("{{\"__metadata__\":{{\"a\":1}},{}", &good("a")[1..]), &zeros[..4]),
        file(
            &format!("{{\"__metadata__\":{{\"a\":\"\",\"a\":\"\"}},{}", &good("a")[1..]),
            &zeros[..4],
        ),
        file(
            &format!("{{\"__metadata__\":{{}},\"__metadata__\":{{}},{}", &good("a")[1..]),
            &zeros[..4],
        ),
        file(
            &format!("{{\"__metadata__\":{{\"wgrad.crc32\":\"x\"}},{}", &good("a")[1..]),
            &zeros[..4],
        ),
    ];
    for (i, bytes) in format.iter().enumerate() {
        let (kind, text) = refused("header", bytes)?;
        assert_eq!(kind, ErrorKind::Format, "{i}: {text}");
    }
    // What is whole but of no model here; names are data, and printed with escapes.
    for name in ["../../etc/passwd", "a\\u0000b", "a\\nb", "\\u001b[31m", &"n".repeat(1 << 20)] {
        let (kind, text) = refused("header", &file(&good(name), &zeros[..4]))?;
        assert_eq!(kind, ErrorKind::Mismatch, "{text}");
        assert!(text.len() < 1_000 && !text.contains(['\0', '\u{1b}']), "{text:?}");
    }
    // A side of 2^40 with no element, and metadata nobody knows.
    let empty = file(&one("[1099511627776,0]", "0", "0"), &[]);
    assert_eq!(refused("header", &empty)?.0, ErrorKind::Mismatch);
    // Many tiny tensors.
    let many = |count: usize| {
        let tensor = |i| format!(r#""{i}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#);
        file(&format!("{{{}}}", (0..count).map(tensor).collect::<Vec<_>>().join(",")), &[])
    };
    assert_eq!(refused("header", &many(2_000))?.0, ErrorKind::Mismatch);
    let (kind, text) = refused("header", &many(70_000))?;
    assert!(kind == ErrorKind::Format && text.contains("65536"), "{text}");
    Ok(())
}

#[test]
fn garbage_never_panics() -> Tested {
    let bytes = saved("garbage", &net(1)?)?;
    let mut random = wgrad_core::philox::Stream::new(5, 0);
    for _ in 0..2_000 {
        let mut bad = bytes.clone();
        for _ in 0..=random.below(8) {
            let at = random.below(bad.len() as u32) as usize;
            match random.below(3) {
                0 => bad[at] = random.next_u32() as u8,
                1 => drop(bad.remove(at)),
                _ => bad.insert(at, b"{}[]\",:0\\u9"[random.below(11) as usize]),
            }
        }
        if bad != bytes {
            refused("garbage", &bad)?;
        }
    }
    Ok(())
}

#[test]
fn all_differences_are_listed() -> Tested {
    struct Other {
        body: Linear,
        head: Linear,
        mean: Buffer,
    }
    module!(Other { body, head, mean });
    let mut init = Init::new(3);
    let other = Other {
        body: Linear::without_bias(4, 2, &mut init)?,
        head: Linear::new(1, 1, &mut init)?,
        mean: Buffer::new(&[2], vec![0.0; 2])?,
    }
    .on(&Device::cpu())?;
    let path = path("differences")?;
    save_weights(&net(1)?, &path)?;
    let error = load_weights(&other, &path).err().ok_or("loaded")?;
    fs::remove_file(&path)?;
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    for line in [
        "5 differences, nothing was loaded",
        "\"body.weight\" has the shape [2, 3] in the file, [2, 4] here",
        "\"head.weight\" F32 [1, 1] is not in the file",
        "\"head.bias\" F32 [1] is not in the file",
        "\"body.bias\" F32 [2] is only in the file",
        "\"scale\" F32 [] is only in the file",
    ] {
        assert!(error.message().contains(line), "{error} does not say {line:?}");
    }
    assert_eq!(other.mean.tensor()?.to_vec::<f32>()?, [0.0, 0.0]);
    Ok(())
}

struct Numbers(Dtype, Vec<usize>, Vec<u8>);
impl View for &Numbers {
    fn dtype(&self) -> Dtype {
        self.0
    }
    fn shape(&self) -> &[usize] {
        &self.1
    }
    fn data(&self) -> Cow<'_, [u8]> {
        (&self.2[..]).into()
    }
    fn data_len(&self) -> usize {
        self.2.len()
    }
}

/// A file of the safetensors crate with the net's names, all numbers 1.5 or, where it cannot be, 1.
fn foreign(dtype: Dtype, one: &[u8]) -> std::result::Result<Vec<u8>, Box<dyn std::error::Error>> {
    let all =
        [("body.weight", vec![2, 3]), ("body.bias", vec![2]), ("mean", vec![2]), ("scale", vec![])];
    let numbers = all.map(|(name, shape)| {
        let bytes = one.repeat(shape.iter().product());
        (name, Numbers(dtype, shape, bytes))
    });
    Ok(serialize(numbers.iter().map(|(name, n)| (*name, n)), None)?)
}

#[test]
fn other_types_are_converted_only_if_asked() -> Tested {
    let path = path("types")?;
    let floats: [(Dtype, &[u8]); 3] = [
        (Dtype::F16, &0x3e00u16.to_le_bytes()),
        (Dtype::BF16, &0x3fc0u16.to_le_bytes()),
        (Dtype::F64, &1.5f64.to_le_bytes()),
    ];
    for (dtype, one) in floats {
        let bytes = foreign(dtype, one)?;
        let (kind, text) = refused("types", &bytes)?;
        assert_eq!(kind, ErrorKind::DType);
        assert!(text.contains("4 differences") && text.contains("convert()"), "{text}");
        fs::write(&path, &bytes)?;
        let net = net(1)?;
        LoadWeights::new().convert().load(&net, &path)?;
        assert_eq!(values(&net)?, [1.5; 11]);
    }
    fs::write(&path, foreign(Dtype::F32, &1.5f32.to_le_bytes())?)?;
    let plain = net(1)?;
    assert!(load_weights(&plain, &path)?.not_finite().is_empty());
    assert_eq!(values(&plain)?, [1.5; 11]);
    for dtype in [Dtype::I64, Dtype::I32, Dtype::BOOL] {
        let bytes = foreign(dtype, &vec![1; dtype.bitsize() / 8])?;
        let (kind, text) = refused("types", &bytes)?;
        assert_eq!(kind, ErrorKind::DType);
        assert!(text.contains(&dtype.to_string()) && !text.contains("convert"), "{text}");
        fs::write(&path, &bytes)?;
        assert!(LoadWeights::new().convert().load(&net(1)?, &path).is_err());
    }
    fs::remove_file(&path)?;
    Ok(())
}

#[test]
fn notes_nobody_knows_are_ignored() -> Tested {
    let header = r#"{"__metadata__":{"wgrad.of.tomorrow":"x"},"at":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let bytes = file(header, &2f32.to_le_bytes());
    let path = path("notes")?;
    fs::write(&path, bytes)?;
    struct Point {
        at: Parameter,
    }
    module!(Point { at });
    let point = Point { at: Parameter::new(&[1], vec![0.0])? }.on(&Device::cpu())?;
    load_weights(&point, &path)?;
    fs::remove_file(&path)?;
    assert_eq!(point.at.tensor()?.item::<f32>()?, 2.0);
    Ok(())
}

#[test]
fn what_is_no_file() -> Tested {
    let net = net(1)?;
    let kind = |path: &str| load_weights(&net, path).err().map(|e| e.kind());
    assert_eq!(kind(env!("CARGO_TARGET_TMPDIR")), Some(ErrorKind::Io));
    assert_eq!(kind("there/is/none"), Some(ErrorKind::Io));
    assert_eq!(kind("a\0b"), Some(ErrorKind::Io));
    let unplaced = Linear::new(2, 2, &mut Init::new(0))?;
    let error = save_weights(&unplaced, path("unplaced")?).err().map(|e| e.kind());
    assert_eq!(error, Some(ErrorKind::Argument));
    Ok(())
}

/// PyTorch's counter below a batch norm passes unasked, other names if they are asked for; a head stays as it is.
#[test]
fn names_are_ignored_as_asked() -> Tested {
    struct Normed {
        norm: BatchNorm1d,
        head: Linear,
    }
    module!(Normed { norm, head });
    let made = |seed| -> Result<Normed> {
        let head = Linear::new(2, 1, &mut Init::new(seed))?;
        Normed { norm: BatchNorm1d::new(2)?, head }.on(&Device::cpu())
    };
    let path = path("ignored")?;
    let file = |extra: &[(&str, usize)]| -> Tested {
        let all = [
            ("net.norm.weight", 2),
            ("net.norm.bias", 2),
            ("net.norm.running_mean", 2),
            ("net.norm.running_var", 2),
        ];
        let numbers: Vec<(&str, Numbers)> = all
            .iter()
            .chain(extra)
            .map(|&(name, n)| (name, Numbers(Dtype::F32, vec![n], 1.5f32.to_le_bytes().repeat(n))))
            .chain([(
                "net.norm.num_batches_tracked",
                Numbers(Dtype::I64, vec![], 9u64.to_le_bytes().to_vec()),
            )])
            .collect();
        fs::write(&path, serialize(numbers.iter().map(|(name, n)| (*name, n)), None)?)?;
        Ok(())
    };
    let model = made(1)?;
    let load = LoadWeights::new().part("net");
    let head = model.head.weight.tensor()?.to_vec::<f32>()?;

    // A head of another shape, and a counter where there is no batch norm.
    file(&[("net.head.weight", 7), ("net.head.num_batches_tracked", 1)])?;
    let error = load.load(&model, &path).err().ok_or("loaded")?;
    for line in [
        "3 differences",
        "\"head.weight\" has the shape [7] in the file, [1, 2] here",
        "\"head.bias\" F32 [1] is not in the file",
        "\"head.num_batches_tracked\" F32 [1] is only in the file",
    ] {
        assert!(error.message().contains(line), "{error} does not say {line:?}");
    }
    let counter = load.clone().ignore("*.num_batches_tracked").load(&model, &path);
    assert!(
        counter
            .err()
            .is_some_and(|e| e.message().starts_with(&format!("{}: 2 diff", path.display())))
    );
    load.ignore("head.*").load(&model, &path)?;
    assert_eq!(model.norm.weight().tensor()?.to_vec::<f32>()?, [1.5, 1.5]);
    assert_eq!(model.head.weight.tensor()?.to_vec::<f32>()?, head);
    fs::remove_file(&path)?;
    Ok(())
}

/// Numbers under the names of the net, each behind one of these prefixes.
fn under(prefixes: &[&str]) -> std::result::Result<Vec<u8>, Box<dyn std::error::Error>> {
    let names = [("body.weight", vec![2, 3]), ("body.bias", vec![2]), ("mean", vec![2])];
    let mut numbers = Vec::new();
    for prefix in prefixes {
        for (name, shape) in names.iter().chain([&("scale", vec![])]) {
            let bytes = 1.5f32.to_le_bytes().repeat(shape.iter().product());
            numbers.push((format!("{prefix}{name}"), Numbers(Dtype::F32, shape.clone(), bytes)));
        }
    }
    Ok(serialize(numbers.iter().map(|(name, n)| (name, n)), None)?)
}

/// Where the cause of other names shows, the error says which part to load; the list of differences stays whole.
#[test]
fn the_part_to_load_is_named() -> Tested {
    let path = path("hints")?;
    let net = net(1)?;
    let told = |load: LoadWeights, prefixes: &[&str]| {
        fs::write(&path, under(prefixes)?)?;
        match load.load(&net, &path) {
            Ok(_) => Err("loaded".into()),
            Err(error) => Ok::<_, Box<dyn std::error::Error>>(error.message().to_owned()),
        }
    };
    let new = LoadWeights::new;
    for (load, prefixes, hint) in [
        (
            new(),
            &["model."][..],
            "every name is there under \"model\": LoadWeights::new().part(\"model\")",
        ),
        (new().part("net"), &["model."], "LoadWeights::new().part(\"model\")"),
        (
            new(),
            &["module."],
            "DistributedDataParallel put before names: LoadWeights::new().part(\"module\")",
        ),
        (
            new(),
            &["_orig_mod."],
            "torch.compile puts before names: LoadWeights::new().part(\"_orig_mod\")",
        ),
        (
            new(),
            &["net.module."],
            "DistributedDataParallel put before names: LoadWeights::new().part(\"net.module\")",
        ),
        (new(), &["model.", "average."], "under \"model\" (and under one other): "),
        (new().part("model"), &[""], "every name is in the file itself: load without part(..)"),
    ] {
        let text = told(load, prefixes)?;
        assert!(text.contains(hint), "{text} does not say {hint:?}");
    }
    let text = told(new(), &["model."])?;
    assert!(text.contains("8 differences"), "{text}");
    assert_eq!(text.lines().count(), 9, "{text}");
    // Names end elsewhere than at a dot, only some are there, or they are not the reason.
    let text = told(new(), &["amodel"])?;
    assert!(!text.contains("every name"), "{text}");
    let some = r#"{"model.body.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let (_, text) = refused("hints", &file(some, &[0; 4]))?;
    assert!(text.contains("5 differences") && !text.contains("every name"), "{text}");
    fs::write(&path, foreign(Dtype::F16, &[0, 0])?)?;
    let error = load_weights(&net, &path).err().ok_or("loaded")?;
    assert!(!error.message().contains("every name"), "{error}");
    fs::remove_file(&path)?;
    Ok(())
}

/// The first bytes of what `torch.save` writes: a zip archive, before PyTorch 1.6 a pickle (of protocol 2).
#[test]
fn files_of_pytorch_are_known() -> Tested {
    let pickle = [0x80, 2, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20];
    for (start, what) in
        [(&b"PK\x03\x04\0\0\x08\x08\0\0"[..], "zip archive"), (&pickle, "Python pickle")]
    {
        let (kind, text) = refused("pytorch", start)?;
        assert_eq!(kind, ErrorKind::Format);
        let name = path("pytorch")?.display().to_string();
        for part in
            [what, "import torch", "safetensors.torch.save_file(", &format!("torch.load({name:?}")]
        {
            assert!(text.contains(part), "{text} does not say {part:?}");
        }
    }
    // A header of 640 bytes begins as a pickle does, and is none.
    let header = format!("{{{}}}", " ".repeat(638));
    let (_, text) = refused("pytorch", &file(&header, &[]))?;
    assert!(text.contains("is not in the file"), "{text}");
    Ok(())
}

#[test]
fn a_missing_file_is_told_with_its_folder() -> Tested {
    let net = net(1)?;
    let text = |path: &str| match load_weights(&net, path) {
        Ok(_) => Err("loaded"),
        Err(error) => Ok(error.message().to_owned()),
    };
    let here = std::env::current_dir()?;
    assert_eq!(
        text("none/of/these.safetensors")?,
        format!(
            "none/of/these.safetensors: there is no such file; looked for weights (safetensors), from the working \
             directory {}; there is no folder none either",
            here.display()
        )
    );
    let path = path("none")?;
    assert_eq!(
        text(&path.display().to_string())?,
        format!("{}: there is no such file; looked for weights (safetensors)", path.display())
    );
    let error = wgrad_nn::Checkpoint::new().load(&path).err().ok_or("loaded")?;
    assert!(error.message().contains("looked for a checkpoint"), "{error}");
    Ok(())
}
