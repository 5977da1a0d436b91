//! Products of a layer's backward take neighbours in: `Δ·W ⊙ σ'` in one kernel, and `Σδ` beside `ΔᵀX`.

use super::fuse::{Item, Uses, Work};
use crate::{Caps, kernels::Joined};
use wgrad_core::{
    DType, Layout, Op, Place, Shape, Trace, Value,
    ops::{
        reduce::{Reduce, ReduceOp},
        unary::Unary,
    },
};

/// Joins what can be joined; everything else stays as it is.
pub(super) fn join(items: Vec<Item>, trace: &Trace, values: &[Value], caps: &Caps) -> Vec<Item> {
    let uses = Uses::of(&items, trace, values);
    let mut items: Vec<Option<Item>> = items.into_iter().map(Some).collect();
    for at in 0..items.len() {
        let Some(product) = items[at].as_ref().and_then(plain) else { continue };
        let later = |found: &dyn Fn(&Item) -> Option<Item>| {
            // Only near items: nothing between may touch what moves.
            let next =
                items[at + 1..].iter().enumerate().filter_map(|(i, x)| Some((i, x.as_ref()?)));
            let (i, other) = next.take(4).find(|(_, x)| found(x).is_some())?;
            let steady = items[at + 1..at + 1 + i].iter().flatten().all(|x| apart(x, other));
            steady.then(|| Some((at + 1 + i, found(other)?))).flatten()
        };
        let joined = later(&|x| with_derivative(&product, x, &uses, caps))
            .or_else(|| later(&|x| with_row_sums(&product, x, caps)));
        if let Some((other, item)) = joined {
            items[at] = Some(item);
            items[other] = None;
        }
    }
    items.into_iter().flatten().collect()
}

/// A product of two matrices of one type with nothing joined yet.
fn plain(item: &Item) -> Option<Item> {
    let dtype = item.outs.first()?.dtype;
    let matrices = |place: &Place| place.dtype == dtype && place.layout.shape.rank() == 2;
    let fits = matches!(item.work, Work::Op(Op::MatMul(_)))
        && matches!(dtype, DType::F32 | DType::F16)
        && item.ins.iter().chain(&item.outs).all(matrices)
        && item.outs.iter().all(|y| y.layout.is_contiguous());
    fits.then(|| item.clone())
}

/// Whether `item` neither writes what `mover` reads nor touches what it writes.
fn apart(item: &Item, mover: &Item) -> bool {
    let writes = |value: usize| item.outs.iter().any(|y| y.value == value);
    mover.ins.iter().all(|x| !writes(x.value))
        && mover.outs.iter().all(|y| item.values().all(|value| value != y.value))
}

/// `A B ⊙ f'(e)`, where nobody else reads `A B`.
fn with_derivative(product: &Item, item: &Item, uses: &Uses, caps: &Caps) -> Option<Item> {
    let Work::Op(Op::UnaryBackward(op)) = &item.work else { return None };
    let unary: Unary = op.0;
    let ([e, dy], [y], [made]) = (&item.ins[..], &item.outs[..], &product.outs[..]) else {
        return None;
    };
    let alone = uses.writes[made.value] == 1 && uses.reads[made.value] == 1;
    let lie = |x: &Place| {
        x.dtype == made.dtype && x.layout.is_contiguous() && x.layout.shape == made.layout.shape
    };
    let apart = product.ins.iter().chain([e]).all(|x| x.value != y.value);
    let joined = Joined { backward: Some(unary), row_sums: false };
    let fits = alone && dy == made && lie(e) && lie(y) && apart;
    (fits && joined.fits(&product.ins[0].layout, y.layout.numel(), caps)).then(|| {
        let ins = vec![product.ins[0], product.ins[1], *e];
        Item { work: Work::Product(joined), ins, outs: vec![*y], at: product.at }
    })
}

/// `ΔᵀX` with `Σδ` over the rows of Δ: the sums of the rows of the first operand.
fn with_row_sums(product: &Item, item: &Item, caps: &Caps) -> Option<Item> {
    let Work::Op(Op::Reduce(reduce)) = &item.work else { return None };
    let ([x], [sums]) = (&item.ins[..], &item.outs[..]) else { return None };
    let over_rows = *reduce == Reduce { op: ReduceOp::Sum, axes: 1, keep: false };
    let a = &product.ins[0];
    let turned = |layout: &Layout| {
        let swap = |s: &Shape| Shape::from_checked(&[s[1], s[0]]);
        Layout { shape: swap(&layout.shape), strides: swap(&layout.strides), offset: layout.offset }
    };
    let same = x.dtype == a.dtype
        && sums.dtype == a.dtype
        && x.value == a.value
        && x.layout.shape.rank() == 2
        && turned(&x.layout) == a.layout;
    let fits = over_rows
        && same
        && sums.layout.is_contiguous()
        && sums.layout.numel() > 0
        && product.ins.iter().all(|operand| operand.value != sums.value);
    let joined = Joined { backward: None, row_sums: true };
    (fits && joined.fits(&a.layout, a.layout.numel(), caps)).then(|| {
        let outs = vec![product.outs[0], *sums];
        Item { work: Work::Product(joined), ins: product.ins.clone(), outs, at: product.at }
    })
}
