//! Attention layers against PyTorch 2 in f64, with weights that both compute from one formula.

mod support;

use support::{fill, near, numbers, tolerance};
use wgrad_core::{DType, Device, ErrorKind, Result, Tensor};
use wgrad_nn::{Init, Layer, Module, MultiHeadAttention, Rotary, TransformerBlock, eval};

fn attention(causal: bool) -> Result<MultiHeadAttention> {
    let layer = MultiHeadAttention::new(4, 2, &mut Init::new(0))?;
    let layer = if causal { layer.causal() } else { layer }.on(&Device::cpu())?;
    fill(&layer)?;
    Ok(layer)
}

#[test]
fn causal_attention_to_itself() -> Result<()> {
    let layer = attention(true)?;
    assert_eq!(
        layer.names(),
        ["in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"]
    );
    let x = numbers(&[2, 3, 4], 5)?;
    let want = [
        0.517578125,
        -1.841796875,
        -0.291015625,
        -0.365234375,
        0.31164829085024,
        -1.81638707737925,
        -0.225098008995296,
        -0.258808940611343,
        0.222553683546299,
        -1.47696600804862,
        -0.0350549064920179,
        -0.218143804935415,
        0.46875,
        -0.462890625,
        0.306640625,
        -0.548828125,
        0.260310811817326,
        -0.431961183315969,
        0.377670512537902,
        -0.437697791608227,
        0.301337830771532,
        -0.591098063534662,
        0.286687879837752,
        -0.460526176789834,
    ];
    near(&layer.forward(&x)?, &want)?;
    // One sequence without a leading size is the same.
    near(&layer.forward(&x.slice(0, 1..2)?.squeeze(0)?)?, &want[12..])
}

#[test]
fn attention_to_a_padded_memory() -> Result<()> {
    let layer = attention(false)?;
    let (x, memory) = (numbers(&[2, 3, 4], 5)?, numbers(&[2, 5, 4], 6)?);
    let lengths = Tensor::from_vec([5i32, 3], [2, 1, 1, 1], &Device::cpu())?;
    let mask = Tensor::arange(0.0, 5.0, 1.0, DType::I32, &Device::cpu())?.try_lt(&lengths)?;
    let want = [
        0.186733751534313,
        -0.703573305640734,
        0.315565328028905,
        -0.290296038301456,
        0.164348237367412,
        -0.70273092886763,
        0.32836050742746,
        -0.26554805627745,
        0.239955864044049,
        -1.05359235515782,
        0.171662444647358,
        -0.228082755547464,
        0.0777162141601307,
        -1.05629559117555,
        0.194055185050091,
        -0.180594038724273,
        0.0458747662650629,
        -1.05563605902373,
        0.206011348515508,
        -0.157341243945253,
        0.533864695752236,
        -0.717481350277015,
        0.183856662695187,
        -0.539805324332612,
    ];
    near(&layer.cross(&x, &memory, Some(&mask))?, &want)?;
    // To itself as a memory is to itself.
    let itself = layer.masked(&x, None)?.to_vec::<f32>()?;
    let itself: Vec<f64> = itself.into_iter().map(f64::from).collect();
    near(&layer.cross(&x, &x, None)?, &itself)
}

#[test]
fn gradients_of_both_ways_agree() -> Result<()> {
    let layer = attention(true)?;
    let x = numbers(&[2, 3, 4], 5)?.requiring_grad();
    let gradients = |y: Tensor| -> Result<Vec<Vec<f64>>> {
        let gradients = y.square()?.sum_all()?.backward()?;
        let mut all = vec![gradients.wrt(&x)?.to_vec::<f32>()?];
        for (_, parameter) in layer.named_parameters() {
            all.push(gradients.wrt(parameter.tensor()?)?.to_vec::<f32>()?);
        }
        Ok(all.into_iter().map(|g| g.into_iter().map(f64::from).collect()).collect())
    };
    let (one, other) = (gradients(layer.forward(&x)?)?, gradients(layer.cross(&x, &x, None)?)?);
    let scale = one.iter().flatten().fold(0.0f64, |most, g| most.max(g.abs()));
    for (a, b) in one.iter().flatten().zip(other.iter().flatten()) {
        assert!(tolerance::of("chain").allows(a / scale, b / scale), "{a} {b}");
    }
    Ok(())
}

#[test]
fn a_block_of_a_transformer() -> Result<()> {
    let block = TransformerBlock::new(4, 2, 6, &mut Init::new(0))?.causal().on(&Device::cpu())?;
    assert_eq!(
        block.names(),
        [
            "self_attn.in_proj_weight",
            "self_attn.in_proj_bias",
            "self_attn.out_proj.weight",
            "self_attn.out_proj.bias",
            "linear1.weight",
            "linear1.bias",
            "linear2.weight",
            "linear2.bias",
            "norm1.weight",
            "norm1.bias",
            "norm2.weight",
            "norm2.bias",
        ]
    );
    fill(&block)?;
    let want = [
        0.0324614918780045,
        -1.42671249882581,
        -0.936014940099065,
        0.958534726278752,
        0.282461491878005,
        -1.17671249882581,
        -0.686014940099065,
        1.20853472627875,
        0.218454569901894,
        -2.45722081668712,
        -0.238697738708583,
        -0.042201897270745,
        -0.384924224909032,
        -1.87073134841305,
        0.420573364763979,
        0.700651661515578,
        -0.134924224909032,
        -1.62073134841305,
        0.670573364763979,
        0.950651661515578,
        0.293992635790261,
        -1.49766790332781,
        -0.928667600231357,
        1.04379104235568,
    ];
    near(&block.forward(&numbers(&[2, 3, 4], 5)?)?, &want)
}

#[test]
fn a_place_that_may_attend_to_nothing_gives_the_bias() -> Result<()> {
    let layer = attention(false)?;
    let x = numbers(&[1, 3, 4], 5)?.requiring_grad();
    let nothing = Tensor::full([1], 0.0, DType::Bool, &Device::cpu())?;
    let y = layer.masked(&x, Some(&nothing))?;
    let bias = match &layer.out_proj.bias {
        Some(bias) => bias.tensor()?.to_vec::<f32>()?,
        None => Vec::new(),
    };
    assert_eq!(y.to_vec::<f32>()?, [&bias[..], &bias, &bias].concat());
    assert_eq!(y.sum_all()?.backward()?.wrt(&x)?.to_vec::<f32>()?, [0.0; 12]);
    Ok(())
}

#[test]
fn bad_arguments() -> Result<()> {
    let new = |size, heads| {
        let made = MultiHeadAttention::new(size, heads, &mut Init::new(0));
        made.err().map(|e| e.kind())
    };
    for (size, heads) in [(4, 3), (4, 0), (0, 1)] {
        assert_eq!(new(size, heads), Some(ErrorKind::Argument));
    }
    assert_eq!(new(usize::MAX, 1), Some(ErrorKind::Size));
    let layer = attention(false)?;
    let kind = |y: Result<Tensor>| y.err().map(|e| e.kind());
    assert_eq!(kind(layer.forward(&numbers(&[4], 1)?)), Some(ErrorKind::Rank));
    assert_eq!(kind(layer.forward(&numbers(&[3, 5], 1)?)), Some(ErrorKind::Shape));
    let (x, other) = (numbers(&[2, 3, 4], 1)?, numbers(&[3, 3, 4], 1)?);
    assert_eq!(kind(layer.cross(&x, &other, None)), Some(ErrorKind::Shape));
    assert_eq!(kind(layer.masked(&x, Some(&x))), Some(ErrorKind::DType));
    let turned = MultiHeadAttention::new(4, 2, &mut Init::new(0))?.rotary(Rotary::new(8, 4)?);
    assert_eq!(turned.err().map(|e| e.kind()), Some(ErrorKind::Argument));
    Ok(())
}

#[test]
fn turned_heads_attend_by_distance() -> Result<()> {
    let layer = MultiHeadAttention::new(8, 2, &mut Init::new(3))?.rotary(Rotary::new(8, 4)?)?;
    let layer = layer.causal().on(&Device::cpu())?;
    let y = layer.forward(&numbers(&[2, 5, 8], 2)?)?;
    assert_eq!(y.shape(), [2, 5, 8]);
    let gradients = y.sum_all()?.backward()?;
    assert!(gradients.get(layer.in_proj_weight.tensor()?).is_some());
    Ok(())
}

#[test]
fn dropping_happens_in_training_alone() -> Result<()> {
    let x = numbers(&[2, 3, 4], 5)?;
    let block = TransformerBlock::new(4, 2, 6, &mut Init::new(0))?.on(&Device::cpu())?;
    let plain = block.forward(&x)?.to_vec::<f32>()?;
    let block =
        TransformerBlock::new(4, 2, 6, &mut Init::new(0))?.dropout(0.5)?.on(&Device::cpu())?;
    assert_ne!(block.forward(&x)?.to_vec::<f32>()?, plain);
    assert_eq!(eval(|| block.forward(&x))?.to_vec::<f32>()?, plain);
    // All weights dropped: only the bias is left.
    let layer =
        MultiHeadAttention::new(4, 2, &mut Init::new(0))?.dropout(1.0)?.on(&Device::cpu())?;
    assert_eq!(layer.forward(&x)?.to_vec::<f32>()?, [0.0; 24]);
    let bad = MultiHeadAttention::new(4, 2, &mut Init::new(0))?.dropout(f32::NAN);
    assert_eq!(bad.err().map(|e| e.kind()), Some(ErrorKind::Argument));
    Ok(())
}
