//! All kinds of operations: one of each family and form.

use wgrad_core::{
    DType, Op, Shape,
    ops::{
        adjust::{AdaptScale, Adjust, VectorNorm},
        arg_reduce::ArgReduce,
        assign::Assign,
        batch_norm::{BatchNorm, BatchNormBackward, BatchNormSums},
        binary::{Binary, Scalar},
        cast::Cast,
        compare::{Compare, CompareScalar},
        concat::Concat,
        copy::Copy,
        create::{Arange, Fill, OneHot},
        cross_entropy::CrossEntropy,
        dropout::{Dropout, TakeRandom},
        gather::{Gather, ScatterRows},
        linear::{FusedActivation, Linear},
        losses::Reduction,
        masked_softmax::{MaskedSoftmax, MaskedSoftmaxBackward},
        matmul::MatMul,
        norm::{Norm, NormBackward, NormSums},
        optimizer::{Rule, Update},
        pad::Pad,
        random::{Distribution, Random},
        reduce::{Reduce, ReduceOp},
        select::{Mask, Where},
        softmax::{Softmax, SoftmaxBackward},
        unary::{Unary, UnaryBackward},
    },
    ops::{
        conv::{Conv, Conv2dOptions, ConvInput, ConvWeight},
        pool::{Averages, AvgPool, AvgPoolBackward, MaxPool, MaxPoolBackward, Pool2dOptions},
    },
};

/// Family and name, with the settings that change what is computed.
pub type Kind = (String, String);

/// The kind of an operation; its sizes and numbers do not matter.
pub fn kind(op: &Op) -> Kind {
    let (family, form) = match op {
        Op::Unary(_) => ("Unary", String::new()),
        Op::UnaryBackward(_) => ("UnaryBackward", String::new()),
        Op::Binary(_) => ("Binary", String::new()),
        // The larger and the smaller do not care where the number stands, and powers of a number have
        // no public method.
        Op::Scalar(op) if matches!(op.op, Binary::Sub | Binary::Div) => {
            ("Scalar", if op.left { " left" } else { " right" }.to_owned())
        }
        Op::Scalar(_) => ("Scalar", String::new()),
        Op::Compare(_) => ("Compare", String::new()),
        Op::CompareScalar(_) => ("CompareScalar", String::new()),
        Op::Where(_) => ("Where", String::new()),
        Op::Mask(op) => ("Mask", format!(" {}", op.keep)),
        Op::Reduce(_) => ("Reduce", String::new()),
        Op::ArgReduce(_) => ("ArgReduce", String::new()),
        Op::MatMul(_) => ("MatMul", String::new()),
        Op::Linear(op) => ("Linear", format!(" {} {:?}", op.bias, op.activation)),
        Op::Softmax(_) => ("Softmax", String::new()),
        Op::SoftmaxBackward(_) => ("SoftmaxBackward", String::new()),
        Op::MaskedSoftmax(op) => ("MaskedSoftmax", format!(" {}", op.causal)),
        Op::MaskedSoftmaxBackward(_) => ("MaskedSoftmaxBackward", String::new()),
        Op::CrossEntropy(op) => {
            let options = (op.ignored.is_some(), op.weighted, op.reduction);
            ("CrossEntropy", format!(" {} {} {options:?}", op.smoothing > 0.0, op.gradient))
        }
        Op::Gather(_) => ("Gather", String::new()),
        Op::ScatterRows(_) => ("ScatterRows", String::new()),
        Op::ViewOp(_) => ("ViewOp", String::new()),
        Op::Copy(_) => ("Copy", String::new()),
        Op::Assign(_) => ("Assign", String::new()),
        Op::Cast(op) => ("Cast", format!(" {}", op.0)),
        Op::Concat(_) => ("Concat", String::new()),
        Op::Pad(_) => ("Pad", String::new()),
        Op::Fill(_) => ("Fill", String::new()),
        Op::Arange(_) => ("Arange", String::new()),
        Op::OneHot(_) => ("OneHot", String::new()),
        Op::Random(_) => ("Random", String::new()),
        Op::Conv(op) => ("Conv", format!(" {}", op.bias)),
        Op::ConvInput(op) => ("ConvInput", format!(" {}", op.bias)),
        Op::ConvWeight(_) => ("ConvWeight", String::new()),
        // Without a gradient to come, the places of the maxima are not kept; the kernel is the same.
        Op::MaxPool(_) => ("MaxPool", String::new()),
        Op::MaxPoolBackward(_) => ("MaxPoolBackward", String::new()),
        Op::AvgPool(_) => ("AvgPool", String::new()),
        Op::AvgPoolBackward(_) => ("AvgPoolBackward", String::new()),
        Op::Norm(op) => ("Norm", format!(" {} {}", op.scaled, op.shifted)),
        Op::NormBackward(op) => ("NormBackward", format!(" {}", op.scaled)),
        Op::NormSums(_) => ("NormSums", String::new()),
        Op::BatchNorm(_) => ("BatchNorm", String::new()),
        Op::BatchNormBackward(_) => ("BatchNormBackward", String::new()),
        Op::BatchNormSums(_) => ("BatchNormSums", String::new()),
        Op::TakeRandom(_) => ("TakeRandom", String::new()),
        Op::Dropout(_) => ("Dropout", String::new()),
        Op::Update(op) => ("Update", format!(" {:?} {}", op.rule, op.skips)),
        Op::Adjust(_) => ("Adjust", String::new()),
        Op::VectorNorm(_) => ("VectorNorm", String::new()),
        Op::AdaptScale(_) => ("AdaptScale", String::new()),
    };
    (family.to_owned(), format!("{}{form}", op.name()))
}

/// One operation of each kind that a backend runs. A new family fails to compile above until it has a
/// kind there; give it a line here too.
pub fn all() -> Vec<Op> {
    let shape = Shape::scalar();
    let mut all: Vec<Op> = vec![
        Where.into(),
        MatMul.into(),
        Gather.into(),
        ScatterRows { rows: 1 }.into(),
        MaskedSoftmaxBackward { scale: 1.0 }.into(),
        Copy.into(),
        Assign.into(),
        Concat { axis: 0 }.into(),
        Pad { axis: 0, start: 0, step: 1, size: 1 }.into(),
        Fill { shape, dtype: DType::F32, value: 0.0 }.into(),
        Arange { start: 0.0, step: 1.0, count: 1, dtype: DType::F32 }.into(),
        OneHot { classes: 1 }.into(),
        BatchNorm { eps: 1e-5 }.into(),
        BatchNormBackward.into(),
        BatchNormSums.into(),
        TakeRandom { blocks: 1 }.into(),
        Dropout { last: 1, scale: 1.0 }.into(),
        Random { shape, distribution: Distribution::Uniform { low: 0.0, high: 1.0 } }.into(),
        Random { shape, distribution: Distribution::Normal { mean: 0.0, std: 1.0 } }.into(),
    ];
    for op in Unary::ALL {
        all.push(op.into());
        if op != Unary::Neg {
            all.push(UnaryBackward(op).into());
        }
    }
    for op in Binary::ALL {
        all.push(op.into());
        all.push(Scalar { op, value: 1.0, left: false }.into());
    }
    for op in [Binary::Sub, Binary::Div] {
        all.push(Scalar { op, value: 1.0, left: true }.into());
    }
    for op in Compare::ALL {
        all.push(op.into());
        all.push(CompareScalar { op, value: 1.0 }.into());
    }
    for op in [ReduceOp::Sum, ReduceOp::Mean, ReduceOp::Max, ReduceOp::Min] {
        all.push(Reduce { op, axes: 1, keep: false }.into());
    }
    for dtype in [DType::F32, DType::F16, DType::I32, DType::U32, DType::Bool] {
        all.push(Cast(dtype).into());
    }
    for yes in [false, true] {
        all.push(Mask { keep: yes }.into());
        all.push(ArgReduce { max: yes, axes: 1 }.into());
        all.push(Softmax { axis: 0, log: yes }.into());
        all.push(SoftmaxBackward { axis: 0, log: yes }.into());
        all.push(MaskedSoftmax { causal: yes, scale: 1.0 }.into());
        all.push(Linear { bias: yes, activation: None }.into());
        all.push(Linear { bias: yes, activation: Some(FusedActivation::Relu) }.into());
        for (log, smoothing, ignored, weighted, reduction) in [
            (false, 0.0, None, false, Reduction::Mean),
            (false, 0.1, None, false, Reduction::Mean),
            (false, 0.0, Some(1), false, Reduction::Mean),
            (false, 0.0, None, true, Reduction::Mean),
            (false, 0.1, Some(1), true, Reduction::Mean),
            (false, 0.0, None, false, Reduction::Sum),
            (false, 0.1, Some(1), false, Reduction::Sum),
            (false, 0.0, None, false, Reduction::None),
            (false, 0.1, Some(1), true, Reduction::None),
            (true, 0.0, None, false, Reduction::Mean),
            (true, 0.1, Some(1), true, Reduction::Mean),
        ] {
            let gradient = yes;
            let op = CrossEntropy { log, smoothing, ignored, weighted, reduction, gradient };
            all.push(op.into());
        }
    }
    for activation in [FusedActivation::Sigmoid, FusedActivation::Tanh] {
        all.push(Linear { bias: true, activation: Some(activation) }.into());
    }
    let (options, windows) = (Conv2dOptions::new(), Pool2dOptions::new(1));
    for bias in [false, true] {
        all.push(Conv { options, bias }.into());
        all.push(ConvInput { options, size: [1, 1], bias }.into());
    }
    all.push(ConvWeight { options, kernel: [1, 1] }.into());
    all.push(MaxPool { options: windows, index: true }.into());
    all.push(MaxPoolBackward { options: windows, size: [1, 1] }.into());
    for averages in [Averages::Sliding(windows), Averages::Adaptive([1, 1])] {
        all.push(AvgPool(averages).into());
        all.push(AvgPoolBackward { averages, size: [1, 1] }.into());
    }
    for (centred, scaled, shifted) in [
        (true, false, false),
        (true, true, false),
        (true, false, true),
        (true, true, true),
        (false, false, false),
        (false, true, false),
    ] {
        all.push(Norm { eps: 1e-5, centred, scaled, shifted }.into());
        all.push(NormBackward { centred, scaled }.into());
        all.push(NormSums { centred }.into());
    }
    let rules = [
        Rule::Sgd { momentum: false, nesterov: false },
        Rule::Sgd { momentum: true, nesterov: false },
        Rule::Sgd { momentum: true, nesterov: true },
        Rule::Adam { decoupled: false },
        Rule::Adam { decoupled: true },
        Rule::RmsProp { centered: false, momentum: false },
        Rule::RmsProp { centered: false, momentum: true },
        Rule::RmsProp { centered: true, momentum: false },
        Rule::RmsProp { centered: true, momentum: true },
        Rule::Adagrad,
        Rule::Lion,
    ];
    all.extend(rules.map(|rule| Op::from(Update { rule, skips: false, fours: true })));
    all.push(Update { rule: Rule::Adam { decoupled: true }, skips: true, fours: true }.into());
    all.push(Adjust::Mix { keep: 1.0, add: 1.0 }.into());
    all.push(Adjust::ClipNorm { max: 1.0 }.into());
    all.push(Adjust::ClipValue { max: 1.0 }.into());
    all.push(Adjust::Unscale.into());
    all.push(VectorNorm.into());
    all.push(AdaptScale { interval: 1, floor: 1.0 }.into());
    all
}
