//! Element-wise operations, copies included: map1, map2, map3.

use super::{list, missing, rank_of, walk, wgsl, wgsl4, word};
use crate::{
    Caps,
    launch::{Launch, Operand, Slot},
};
use wgrad_core::{
    DType, Error, Layout, Result, Shape, collapse_together,
    ops::{
        binary::{Binary, Scalar},
        compare::{Compare, CompareScalar},
        pad::Pad,
        unary::Unary,
    },
};
use wgrad_shaders::{Expression, Kernel};

/// One operand of a map.
#[derive(Clone, Copy)]
struct Side {
    slot: Slot,
    layout: Layout,
    dtype: DType,
}

fn side(slot: Slot, x: &Operand) -> Side {
    Side { slot, layout: x.layout, dtype: x.dtype }
}

/// Extra settings of a map.
#[derive(Clone, Copy, Default)]
struct Extra {
    scalar: u32,
    guarded: bool,
}

pub(super) fn unary(
    op: Unary,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Vec<Launch>> {
    let (expression, scalar) = unary_expression(op, ins[0].dtype)?;
    let extra = Extra { scalar, ..Extra::default() };
    map([side(Slot::In(0), &ins[0])], side(Slot::Out(0), &outs[0]), expression, extra, caps)
}

/// The expression of an operation, and its number as bits.
pub(super) fn unary_expression(op: Unary, dtype: DType) -> Result<(Expression, u32)> {
    let unsigned = op == Unary::Neg && dtype == DType::U32;
    let name = if unsigned { "neg_u32" } else { op.label() };
    Ok((wgrad_shaders::unary(name).ok_or_else(|| missing(name))?, slope(op)))
}

fn slope(op: Unary) -> u32 {
    if let Unary::LeakyRelu(slope) = op { slope.to_bits() } else { 0 }
}

pub(super) fn unary_backward(
    op: Unary,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Vec<Launch>> {
    let (expression, scalar) = backward_expression(op)?;
    two(ins, outs, expression, Extra { scalar, ..Extra::default() }, caps)
}

/// The expression of an operation's backward, and its number as bits.
pub(super) fn backward_expression(op: Unary) -> Result<(Expression, u32)> {
    let expression =
        wgrad_shaders::unary_backward(op.label()).ok_or_else(|| missing(op.label()))?;
    Ok((expression, slope(op)))
}

fn two(
    ins: &[Operand],
    outs: &[Operand],
    expression: Expression,
    extra: Extra,
    caps: &Caps,
) -> Result<Vec<Launch>> {
    let sides = [side(Slot::In(0), &ins[0]), side(Slot::In(1), &ins[1])];
    map(sides, side(Slot::Out(0), &outs[0]), expression, extra, caps)
}

pub(super) fn binary(
    op: Binary,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Vec<Launch>> {
    two(ins, outs, binary_expression(op, outs[0].dtype)?, Extra::default(), caps)
}

/// The expression of an operation on two tensors.
pub(super) fn binary_expression(op: Binary, dtype: DType) -> Result<Expression> {
    let name = match (op, dtype) {
        (Binary::Div, DType::I32) => "div_i32",
        (Binary::Div, DType::U32) => "div_u32",
        (Binary::Max, DType::I32 | DType::U32) => "maximum_int",
        (Binary::Min, DType::I32 | DType::U32) => "minimum_int",
        _ => op.label(),
    };
    wgrad_shaders::binary(name).ok_or_else(|| missing(name))
}

pub(super) fn compare(
    op: Compare,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Vec<Launch>> {
    let expression = wgrad_shaders::compare(op.label()).ok_or_else(|| missing(op.label()))?;
    two(ins, outs, expression, Extra::default(), caps)
}

pub(super) fn mask(
    keep: bool,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Vec<Launch>> {
    let expression = wgrad_shaders::binary("mask").ok_or_else(|| missing("mask"))?;
    two(ins, outs, expression, Extra { scalar: u32::from(keep), ..Extra::default() }, caps)
}

/// A number as the bits of a type.
pub(super) fn bits(value: f64, dtype: DType) -> u32 {
    match dtype {
        DType::I32 => (value as i32) as u32,
        DType::U32 => value as u32,
        DType::Bool => u32::from(value != 0.0),
        _ => (value as f32).to_bits(),
    }
}

pub(super) fn scalar(
    op: &Scalar,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Vec<Launch>> {
    let (expression, scalar) = scalar_expression(op, ins[0].dtype)?;
    let extra = Extra { scalar, ..Extra::default() };
    map([side(Slot::In(0), &ins[0])], side(Slot::Out(0), &outs[0]), expression, extra, caps)
}

/// The expression of an operation with a number, and the number as bits.
pub(super) fn scalar_expression(op: &Scalar, dtype: DType) -> Result<(Expression, u32)> {
    let whole = matches!(dtype, DType::I32 | DType::U32);
    let mut scalar = bits(op.value, dtype);
    let name = match (op.op, op.left) {
        (Binary::Add, _) => "add_number",
        (Binary::Sub, false) => "sub_number",
        (Binary::Sub, true) => "number_sub",
        (Binary::Mul, _) => "mul_number",
        // The cases that integer division gets wrong are known here.
        (Binary::Div, false) if whole && op.value == 0.0 => "copy",
        (Binary::Div, false) if whole && op.value == -1.0 => "neg",
        (Binary::Div, false) => "div_number",
        (Binary::Div, true) if dtype == DType::I32 => "number_div_i32",
        (Binary::Div, true) if dtype == DType::U32 => "number_div_u32",
        (Binary::Div, true) => "number_div",
        (Binary::Max, _) if whole => "maximum_number_int",
        (Binary::Min, _) if whole => "minimum_number_int",
        // `max` and `min` of a NaN number: the number wins whatever x is.
        (Binary::Max | Binary::Min, _) if op.value.is_nan() => "add_number",
        (Binary::Max, _) => "maximum_number",
        (Binary::Min, _) => "minimum_number",
        (Binary::Pow, false) if op.value.fract() == 0.0 && op.value.abs() <= 64.0 => {
            scalar = (op.value as i32) as u32;
            "pow_whole_number"
        }
        (Binary::Pow, false) => "pow_number",
        (Binary::Pow, true) => "number_pow",
    };
    Ok((wgrad_shaders::unary(name).ok_or_else(|| missing(name))?, scalar))
}

pub(super) fn compare_scalar(
    op: &CompareScalar,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Vec<Launch>> {
    let name = match op.op {
        Compare::Eq => "eq_number",
        Compare::Ne => "ne_number",
        Compare::Lt => "lt_number",
        Compare::Le => "le_number",
        Compare::Gt => "gt_number",
        Compare::Ge => "ge_number",
    };
    let expression = wgrad_shaders::unary(name).ok_or_else(|| missing(name))?;
    let extra = Extra { scalar: bits(op.value, ins[0].dtype), ..Extra::default() };
    map([side(Slot::In(0), &ins[0])], side(Slot::Out(0), &outs[0]), expression, extra, caps)
}

pub(super) fn choose(ins: &[Operand], outs: &[Operand], caps: &Caps) -> Result<Vec<Launch>> {
    let expression = Expression {
        function: "fn apply(c: elem_a, a: elem_b, b: elem_c) -> elem_y { return select(b, a, c != elem_a(0u)); }",
        parts: &[],
    };
    let sides =
        [side(Slot::In(0), &ins[0]), side(Slot::In(1), &ins[1]), side(Slot::In(2), &ins[2])];
    map(sides, side(Slot::Out(0), &outs[0]), expression, Extra::default(), caps)
}

pub(super) fn cast(ins: &[Operand], outs: &[Operand], caps: &Caps) -> Result<Vec<Launch>> {
    let name = match (ins[0].dtype, outs[0].dtype) {
        (_, DType::Bool) => "to_bool",
        (DType::F32, DType::I32) => "float_to_i32",
        (DType::F32, DType::U32) => "float_to_u32",
        _ => "cast", // whole numbers wrap
    };
    let expression = wgrad_shaders::unary(name).ok_or_else(|| missing(name))?;
    map(
        [side(Slot::In(0), &ins[0])],
        side(Slot::Out(0), &outs[0]),
        expression,
        Extra::default(),
        caps,
    )
}

/// Copies a view into another.
pub(super) fn copy(
    from: Slot,
    x: Operand,
    y: Operand,
    guarded: bool,
    caps: &Caps,
) -> Result<Vec<Launch>> {
    let expression = wgrad_shaders::unary("copy").ok_or_else(|| missing("copy"))?;
    let extra = Extra { guarded, ..Extra::default() };
    map([side(from, &x)], side(Slot::Out(0), &y), expression, extra, caps)
}

fn part(y: Operand, axis: usize, start: usize, step: usize, shape: &[usize]) -> Result<Operand> {
    let mut layout = y.layout;
    layout.offset += start * layout.strides[axis];
    let mut strides = layout.strides.to_vec();
    strides[axis] *= step;
    layout.strides = Shape::from_checked(&strides);
    layout.shape = Shape::from_checked(shape);
    Ok(Operand { layout, ..y })
}

pub(super) fn concat(
    axis: usize,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Vec<Launch>> {
    let mut launches = Vec::with_capacity(ins.len());
    let mut start = 0;
    for (i, x) in ins.iter().enumerate() {
        if x.layout.numel() > 0 {
            let y = part(outs[0], axis, start, 1, &x.layout.shape)?;
            launches.extend(copy(Slot::In(i), *x, y, false, caps)?);
        }
        start += x.layout.shape[axis];
    }
    Ok(launches)
}

pub(super) fn pad(op: &Pad, ins: &[Operand], outs: &[Operand], caps: &Caps) -> Result<Vec<Launch>> {
    let mut launches = super::create::fill(0.0, outs, caps)?;
    if ins[0].layout.numel() > 0 {
        let y = part(outs[0], op.axis, op.start, op.step, &ins[0].layout.shape)?;
        launches.extend(copy(Slot::In(0), ins[0], y, false, caps)?);
    }
    Ok(launches)
}

/// How an operand goes by fours along the innermost axis.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Fours {
    /// It lies in whole vec4.
    Whole,
    /// One element is spread over the four.
    Spread,
    /// It does not.
    No,
}

pub(super) fn fours(layout: &Layout) -> Fours {
    let (Some((&size, _)), Some((&stride, outer))) =
        (layout.shape.split_last(), layout.strides.split_last())
    else {
        return Fours::No;
    };
    if !size.is_multiple_of(4) {
        return Fours::No;
    }
    match stride {
        0 => Fours::Spread,
        1 if layout.offset.is_multiple_of(4) && outer.iter().all(|s| s.is_multiple_of(4)) => {
            Fours::Whole
        }
        _ => Fours::No,
    }
}

/// The layout counted in vec4 of the innermost axis (`Whole`), or with that axis shortened (`Spread`).
pub(super) fn by_four(layout: &Layout, how: Fours) -> Result<Layout> {
    let mut shape = layout.shape.to_vec();
    if let Some(inner) = shape.last_mut() {
        *inner /= 4;
    }
    let mut out = Layout { shape: Shape::from_checked(&shape), ..*layout };
    if how == Fours::Whole {
        let mut strides = layout.strides.to_vec();
        let last = strides.len() - 1;
        for (axis, stride) in strides.iter_mut().enumerate() {
            *stride = if axis == last { 1 } else { *stride / 4 };
        }
        out.strides = Shape::from_checked(&strides);
        out.offset /= 4;
    }
    Ok(out)
}

pub(super) const NAN: u32 = 0x7fc0_0000;

/// The most that a map's inner loops go round: the axes of a view, or the bits of a whole power.
const MAP_STEPS: usize = wgrad_core::MAX_RANK + 7;

/// `y = apply(ins..)` over views that broadcast to the output.
fn map<const N: usize>(
    ins: [Side; N],
    y: Side,
    expression: Expression,
    extra: Extra,
    caps: &Caps,
) -> Result<Vec<Launch>> {
    let spread: [Layout; N] = ins.map(|x| broadcast(&x.layout, &y.layout));
    // Collapsed together with the output: a fixed array of 4 keeps this free of allocation.
    let mut all = [y.layout; 4];
    all[1..=N].copy_from_slice(&spread);
    let mut all = collapse_together(all);
    let how = all.map(|layout| fours(&layout));
    let vec4 = how[0] == Fours::Whole && how[1..=N].iter().all(|h| *h != Fours::No);
    if vec4 {
        for (layout, how) in all.iter_mut().zip(how) {
            *layout = by_four(layout, how)?;
        }
    }
    let ty = |dtype| if vec4 { wgsl4(dtype) } else { wgsl(dtype) };
    let mut aliases =
        vec![("elem_y", ty(y.dtype)?), ("elem", ty(ins[0].dtype)?), ("num", wgsl(ins[0].dtype)?)];
    if N == 2 && expression.function.contains("dy") {
        aliases[1].1 = ty(ins[1].dtype)?;
    }
    aliases.push(("bits", if vec4 { "vec4<u32>" } else { "u32" }));
    aliases.push(("mask", if vec4 { "vec4<bool>" } else { "bool" }));
    for (i, x) in ins.iter().enumerate() {
        const ELEM: [&str; 3] = ["elem_a", "elem_b", "elem_c"];
        const SLOT: [&str; 3] = ["slot_a", "slot_b", "slot_c"];
        aliases.push((ELEM[i], ty(x.dtype)?));
        let whole = vec4 && how[i + 1] == Fours::Whole;
        aliases.push((SLOT[i], if whole { wgsl4(x.dtype)? } else { wgsl(x.dtype)? }));
    }
    let mut parts = vec!["index", if extra.guarded { "guarded" } else { "unguarded" }];
    parts.extend(expression.parts);
    let count = all[0].numel();
    // On software a workgroup's run is stepped through by its eight lanes: a step stays within a row or the next.
    let two = all[0].shape.rank() == 2 && all[0].shape[1] >= 8;
    let kernel = Kernel {
        name: ["map1", "map2", "map3"]
            .get(N - 1)
            .copied()
            .ok_or_else(|| Error::internal("lower", "a map of more than three operands"))?,
        parts,
        aliases,
        values: vec![("RANK", rank_of(&all[0])), ("CARRY", u32::from(caps.software && two))],
        functions: vec![expression.function],
        ..Kernel::default()
    };
    let mut launch = walk(kernel, count, MAP_STEPS, y.layout.numel() as u64, caps)
        .params([word(count), extra.scalar, 0, NAN])
        .params((0..4).map(|i| if i <= N { word(all[i].offset) } else { 0 }))
        .params(list(&all[0].shape, 1));
    for layout in &all[..=N] {
        launch = launch.params(list(&layout.strides, 0));
    }
    for (i, x) in ins.iter().enumerate() {
        launch = launch.read(word(i) + 1, x.slot);
    }
    launch = launch.write(word(N) + 1, y.slot);
    if extra.guarded {
        launch = launch.read(9, Slot::Fault);
    }
    Ok(vec![launch])
}

/// An operand's layout stretched to the output's shape.
fn broadcast(x: &Layout, y: &Layout) -> Layout {
    x.stretched(y.shape)
}
