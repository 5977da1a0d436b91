//! `Op`: every operation there is, as data. A family's rules live in one file under `ops/`.

use crate::{
    DType, Grad, Precision, Result, Shape, Tensor,
    ops::{
        adjust::{AdaptScale, Adjust, VectorNorm},
        arg_reduce::ArgReduce,
        assign::Assign,
        batch_norm::{BatchNorm, BatchNormBackward, BatchNormSums},
        binary::{Binary, Scalar},
        cast::Cast,
        compare::{Compare, CompareScalar},
        concat::Concat,
        conv::{Conv, ConvInput, ConvWeight},
        copy::Copy,
        create::{Arange, Fill, OneHot},
        cross_entropy::CrossEntropy,
        dropout::{Dropout, TakeRandom},
        gather::{Gather, ScatterRows},
        linear::Linear,
        masked_softmax::{MaskedSoftmax, MaskedSoftmaxBackward},
        matmul::MatMul,
        norm::{Norm, NormBackward, NormSums},
        optimizer::Update,
        pad::Pad,
        pool::{AvgPool, AvgPoolBackward, MaxPool, MaxPoolBackward},
        random::Random,
        reduce::Reduce,
        select::{Mask, Where},
        softmax::{Softmax, SoftmaxBackward},
        unary::{Unary, UnaryBackward},
        view::ViewOp,
    },
};

/// Shape and type of an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Sizes.
    pub shape: Shape,
    /// Element type.
    pub dtype: DType,
}

/// Which operands backward needs, as bit sets of positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Saves {
    pub(crate) inputs: u8,
    pub(crate) outputs: u8,
}

impl Saves {
    pub(crate) const NONE: Saves = Saves { inputs: 0, outputs: 0 };
    pub(crate) const fn inputs(bits: u8) -> Saves {
        Saves { inputs: bits, outputs: 0 }
    }
    pub(crate) const fn outputs(bits: u8) -> Saves {
        Saves { inputs: 0, outputs: bits }
    }
    pub(crate) const fn and(self, other: Saves) -> Saves {
        Saves { inputs: self.inputs | other.inputs, outputs: self.outputs | other.outputs }
    }
}

/// What a family says about itself; kernels are elsewhere.
pub(crate) trait Family {
    /// The name in errors, logs and tables.
    fn name(&self) -> &'static str;
    /// Shapes and types of the outputs, or why the inputs do not fit.
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>>;
    /// What backward needs.
    fn saves(&self) -> Saves {
        Saves::NONE
    }
    /// One cotangent per input that wants one; called only where [`Family::no_gradient`] is `None`.
    fn gradient(&self, _: &Grad) -> Result<Vec<Option<Tensor>>> {
        Ok(Vec::new())
    }
    /// Why there is no gradient, for operations that have none.
    fn no_gradient(&self) -> Option<&'static str> {
        None
    }
    /// Whether outputs are inputs, changed in place.
    fn in_place(&self) -> bool {
        false
    }
    /// What becomes of operands in f16 and f32 within [`autocast`](crate::autocast).
    fn precision(&self) -> Precision {
        Precision::Meet
    }
}

macro_rules! families {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Every operation there is: a closed list of families.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Op { $($(#[$doc])* $name($name),)* }

        $(impl From<$name> for Op {
            fn from(family: $name) -> Op { Op::$name(family) }
        })*

        impl Op {
            fn family(&self) -> &dyn Family {
                match self { $(Op::$name(family) => family,)* }
            }
        }
    };
}

families! {
    /// Element-wise, one operand.
    Unary,
    /// Backward of an element-wise operation.
    UnaryBackward,
    /// Element-wise, two operands.
    Binary,
    /// Element-wise with a number.
    Scalar,
    /// Comparison of two operands.
    Compare,
    /// Comparison with a number.
    CompareScalar,
    /// Choice between two operands.
    Where,
    /// Zero where a condition does not hold.
    Mask,
    /// Sum, mean, maximum, minimum over axes.
    Reduce,
    /// Position of the maximum or minimum.
    ArgReduce,
    /// Matrix product.
    MatMul,
    /// `x Wᵀ + b`, with activation.
    Linear,
    /// Softmax or its logarithm.
    Softmax,
    /// Backward of softmax.
    SoftmaxBackward,
    /// Softmax over what is seen.
    MaskedSoftmax,
    /// Backward of it.
    MaskedSoftmaxBackward,
    /// Cross-entropy from logits, with its gradient.
    CrossEntropy,
    /// Rows of a table by index.
    Gather,
    /// Sum of rows into a table by index.
    ScatterRows,
    /// Another look at the same memory.
    ViewOp,
    /// A contiguous copy.
    Copy,
    /// Copy into existing memory.
    Assign,
    /// Another element type.
    Cast,
    /// Joins along an axis.
    Concat,
    /// Zeros around a slice.
    Pad,
    /// One value everywhere.
    Fill,
    /// Evenly spaced values.
    Arange,
    /// Rows of an identity matrix by index.
    OneHot,
    /// Random numbers.
    Random,
    /// 2-D convolution.
    Conv,
    /// Transposed convolution: the gradient for the input.
    ConvInput,
    /// The gradient for the weight of a convolution.
    ConvWeight,
    /// Maxima of windows.
    MaxPool,
    /// Backward of maxima of windows.
    MaxPoolBackward,
    /// Means of windows.
    AvgPool,
    /// Backward of means of windows.
    AvgPoolBackward,
    /// Layer norm and RMS norm.
    Norm,
    /// Backward of these norms, for what is normalised.
    NormBackward,
    /// Backward of these norms, for gamma and beta.
    NormSums,
    /// A piece of the device's random stream.
    TakeRandom,
    /// Zeros at random.
    Dropout,
    /// An optimizer's step.
    Update,
    /// Clipping, unscaling, sums and averages in place.
    Adjust,
    /// The Euclidean length of all elements.
    VectorNorm,
    /// The next loss scale.
    AdaptScale,
    /// Batch norm.
    BatchNorm,
    /// Backward of batch norm, for what is normalised.
    BatchNormBackward,
    /// Backward of batch norm, for gamma and beta.
    BatchNormSums,
}

impl Op {
    /// The name in errors, logs and tables.
    pub fn name(&self) -> &'static str {
        self.family().name()
    }

    /// Whether outputs are inputs, changed in place.
    pub fn in_place(&self) -> bool {
        self.family().in_place()
    }

    /// Why the operation has no gradient; `None` if it has one.
    pub fn no_gradient(&self) -> Option<&'static str> {
        self.family().no_gradient()
    }

    /// Shapes and types of the outputs, or why the inputs do not fit.
    pub fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        self.family().outputs(ins)
    }

    pub(crate) fn precision(&self) -> Precision {
        self.family().precision()
    }

    pub(crate) fn saves(&self) -> Saves {
        self.family().saves()
    }

    pub(crate) fn gradient(&self, g: &Grad) -> Result<Vec<Option<Tensor>>> {
        self.family().gradient(g)
    }
}
