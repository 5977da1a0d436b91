//! Products take neighbours in: what follows them element by element (bias, activation, factor, residual, the derivative
//! `Δ·W ⊙ σ'`), and a bias's gradient `Σδ` beside `ΔᵀX`.

use super::fuse::{Item, Uses, Work, as_chain};
use crate::{
    Caps,
    kernels::{
        Joined, RowSums,
        chain::{Arg, Link},
        turned,
    },
};
use wgrad_core::{
    DType, Layout, Op, Place, Shape, Trace, Value,
    ops::{
        matmul::MatMul,
        reduce::{Reduce, ReduceOp},
    },
};

/// Joins what can be joined; everything else stays as it is.
pub(super) fn join(items: Vec<Item>, trace: &Trace, values: &[Value], caps: &Caps) -> Vec<Item> {
    let uses = Uses::of(&items, trace, values);
    let mut items: Vec<Option<Item>> = items.into_iter().map(Some).collect();
    for at in 0..items.len() {
        // As often as something can be joined; what moves to a later place is looked at there.
        while let Some(product) = items[at].as_ref().and_then(product) {
            let joined = followed(&items, at, &product, &uses, caps)
                .or_else(|| summed(&items, at, &product, caps));
            let Some((place, other, item)) = joined else { break };
            items[other] = None;
            items[at] = None;
            items[place] = Some(item);
        }
    }
    items.into_iter().flatten().collect()
}

/// A product of matrices of one type, and what is joined to it already.
struct Product {
    item: Item,
    joined: Joined,
}

/// The product that an item is.
fn product(item: &Item) -> Option<Product> {
    let mut item = item.clone();
    let joined = match &item.work {
        Work::Op(Op::MatMul(_)) => Joined::default(),
        Work::Op(Op::Linear(layer)) => {
            let joined = Joined::of_layer(layer);
            let w = item.ins.get_mut(1)?;
            w.layout = turned(&w.layout);
            joined
        }
        Work::Product(joined) => joined.clone(),
        _ => return None,
    };
    let dtype = item.outs.first()?.dtype;
    let places = || item.ins.iter().chain(&item.outs);
    let fits = matches!(dtype, DType::F32 | DType::F16)
        && places().all(|place| place.dtype == dtype)
        && item.outs.len() == 1
        && item.outs.iter().all(|y| y.layout.is_contiguous() && y.layout.numel() > 0);
    fits.then_some(Product { item, joined })
}

/// Whether `item` neither writes what `mover` reads nor touches what it writes.
fn apart(item: &Item, mover: &Item) -> bool {
    let writes = |value: usize| item.outs.iter().any(|y| y.value == value);
    mover.ins.iter().all(|x| !writes(x.value))
        && mover.outs.iter().all(|y| item.values().all(|value| value != y.value))
}

/// A product with the element-wise item that alone reads it: where the joined item goes, and which one it replaces.
fn followed(
    items: &[Option<Item>],
    at: usize,
    product: &Product,
    uses: &Uses,
    caps: &Caps,
) -> Option<(usize, usize, Item)> {
    let made = product.item.outs.first()?;
    if uses.writes[made.value] != 1 || uses.reads[made.value] != 1 {
        return None;
    }
    let reads = |item: &Item| item.ins.iter().any(|x| x.value == made.value);
    let (ahead, reader) = (items[at + 1..].iter().enumerate())
        .find_map(|(i, item)| item.as_ref().filter(|item| reads(item)).map(|item| (i, item)))?;
    let item = with_links(product, reader, caps).or_else(|| into_transpose(product, reader))?;
    let between = || items[at + 1..at + 1 + ahead].iter().flatten();
    let other = at + 1 + ahead;
    if between().all(|x| apart(x, reader)) {
        return Some((at, other, item));
    }
    // Later, if nobody changes the product's operands in the meantime.
    let first = Item { outs: Vec::new(), ..product.item.clone() };
    between().all(|x| apart(x, &first)).then_some((other, other, item))
}

/// `(A B)ᵀ` copied to its place, as the gradient of a transposed weight is: `Bᵀ Aᵀ` written there.
fn into_transpose(product: &Product, reader: &Item) -> Option<Item> {
    let ([made], [x], [y]) = (&product.item.outs[..], &reader.ins[..], &reader.outs[..]) else {
        return None;
    };
    let (true, [a, b]) = (product.joined == Joined::default(), &product.item.ins[..]) else {
        return None;
    };
    let fits = matches!(reader.work, Work::Op(Op::Copy(_)))
        && made.layout.shape.rank() == 2
        && x.layout == turned(&made.layout)
        && x.dtype == DType::F32
        && y.dtype == DType::F32
        && y.layout.is_contiguous()
        && [a, b].iter().all(|operand| operand.value != y.value);
    let turn = |place: &Place| Place { layout: turned(&place.layout), ..*place };
    fits.then(|| Item {
        work: Work::Op(MatMul.into()),
        ins: vec![turn(b), turn(a)],
        outs: vec![*y],
        at: product.item.at,
    })
}

/// A product followed by a chain whose operands are the product, vectors of one value per column, and tensors that lie
/// as the result does: one of each.
fn with_links(product: &Product, reader: &Item, caps: &Caps) -> Option<Item> {
    let ([made], [y]) = (&product.item.outs[..], &reader.outs[..]) else { return None };
    let links = match &reader.work {
        Work::Chain(links) => links.clone(),
        _ => as_chain(reader)?,
    };
    let mut joined = product.joined.clone();
    let mut ins = product.item.ins.clone();
    let columns = *made.layout.shape.last()?;
    let (mut bias, mut extra) = (None, None);
    if joined.bias {
        bias = ins.get(2).copied();
    }
    if joined.extra {
        extra = ins.last().copied();
    }
    // What each operand of the chain is.
    #[derive(Clone, Copy, PartialEq)]
    enum Kind {
        Made,
        Bias,
        Extra,
    }
    let mut kinds = Vec::with_capacity(reader.ins.len());
    for x in &reader.ins {
        let layout = x.layout.stretched(y.layout.shape);
        let kind = if x.value == made.value {
            let whole = layout.is_contiguous() && layout.offset == made.layout.offset;
            (whole && layout.numel() == made.layout.numel()).then_some(Kind::Made)?
        } else if let Some(vector) = per_column(&layout, columns) {
            let place = Place { layout: vector, ..*x };
            match bias {
                None => bias = Some(place),
                Some(known) if known == place => {}
                Some(_) => return None,
            }
            Kind::Bias
        } else if layout.is_contiguous() {
            let place = Place { layout, ..*x };
            let same =
                |known: Place| known.value == x.value && known.layout.offset == layout.offset;
            match extra {
                None => extra = Some(place),
                Some(known) if same(known) => {}
                Some(_) => return None,
            }
            Kind::Extra
        } else {
            return None;
        };
        kinds.push(kind);
    }
    let fits = y.layout.is_contiguous()
        && y.layout.numel() == made.layout.numel()
        && reader.ins.iter().chain([y]).all(|place| place.dtype == made.dtype)
        && kinds.iter().filter(|kind| **kind == Kind::Made).count() == 1;
    if !fits {
        return None;
    }
    // The numbers of the product's own links move where a bias comes in before the extra operand.
    let had_bias = joined.bias;
    (joined.bias, joined.extra) = (bias.is_some(), extra.is_some());
    let extra_at = 1 + usize::from(joined.bias);
    let own = joined.links.len();
    for arg in joined.links.iter_mut().flat_map(|link| &mut link.args) {
        if let Arg::In(x) = arg
            && *x == 1 + usize::from(had_bias)
        {
            *x = extra_at;
        }
    }
    for link in links {
        let args = link.args.iter().map(|arg| match arg {
            Arg::In(x) => match kinds.get(*x)? {
                Kind::Made if own > 0 => Some(Arg::Link(own - 1)),
                Kind::Made => Some(Arg::In(0)),
                Kind::Bias => Some(Arg::In(1)),
                Kind::Extra => Some(Arg::In(extra_at)),
            },
            Arg::Link(v) => Some(Arg::Link(v + own)),
        });
        let args = args.collect::<Option<Vec<Arg>>>()?;
        joined.links.push(Link { op: link.op, args });
    }
    ins.truncate(2);
    ins.extend(bias);
    ins.extend(extra);
    let apart = ins.iter().all(|x| x.value != y.value);
    let outs = vec![Place { layout: Layout { offset: y.layout.offset, ..made.layout }, ..*y }];
    (apart && joined.fits(&ins[0].layout, y.layout.numel(), caps)).then_some(Item {
        work: Work::Product(joined),
        ins,
        outs,
        at: product.item.at,
    })
}

/// One value for each of so many columns, the same in all rows, as a vector.
fn per_column(x: &Layout, columns: usize) -> Option<Layout> {
    let (&size, rows) = x.shape.split_last()?;
    let same = rows.iter().zip(x.strides.iter()).all(|(&size, &stride)| size == 1 || stride == 0);
    let stride = *x.strides.last()?;
    (same && size == columns).then(|| Layout {
        shape: Shape::from_checked(&[size]),
        strides: Shape::from_checked(&[stride]),
        offset: x.offset,
    })
}

/// A product with the row sums that a near item takes of its first operand, in the form of [`followed`].
fn summed(
    items: &[Option<Item>],
    at: usize,
    product: &Product,
    caps: &Caps,
) -> Option<(usize, usize, Item)> {
    // Only near items, later ones first: nothing between may touch what moves.
    let near = |other: usize| {
        let found = items[other].as_ref()?;
        let item = with_row_sums(product, found, caps)?;
        let between = at.min(other) + 1..at.max(other);
        let steady = items[between].iter().flatten().all(|x| apart(x, found));
        steady.then_some((at, other, item))
    };
    let there = |i: &usize| items[*i].is_some();
    let later = (at + 1..items.len()).filter(there).take(4).find_map(near);
    later.or_else(|| (0..at).rev().filter(there).take(4).find_map(near))
}

/// Notes where row sums lie, after an output was given another place.
pub(super) fn place_row_sums(item: &mut Item) {
    if let (Work::Product(Joined { row_sums: Some(place), .. }), [y, sums]) =
        (&mut item.work, &item.outs[..])
    {
        *place = if y.value == sums.value { RowSums::Beside } else { RowSums::Apart };
    }
}

/// `ΔᵀX` with `Σδ` over the rows of Δ: the sums of the rows of the first operand.
fn with_row_sums(product: &Product, item: &Item, caps: &Caps) -> Option<Item> {
    let Product { item: product, joined } = product;
    let Work::Op(Op::Reduce(reduce)) = &item.work else { return None };
    let ([x], [sums]) = (&item.ins[..], &item.outs[..]) else { return None };
    let over_rows = *reduce == Reduce { op: ReduceOp::Sum, axes: 1, keep: false };
    let a = &product.ins[0];
    let same = x.dtype == a.dtype
        && sums.dtype == a.dtype
        && x.value == a.value
        && x.layout.shape.rank() == 2
        && turned(&x.layout) == a.layout;
    let fits = over_rows
        && *joined == Joined::default()
        && a.layout.shape.rank() == 2
        && same
        && sums.layout.is_contiguous()
        && sums.layout.numel() > 0
        && product.ins.iter().all(|operand| operand.value != sums.value);
    let beside = product.outs[0].value == sums.value;
    let row_sums = Some(if beside { RowSums::Beside } else { RowSums::Apart });
    let joined = Joined { row_sums, ..Joined::default() };
    // Halves are rounded on their way to one operand's memory, not beside it.
    let fits = fits && !(beside && sums.dtype == DType::F16);
    (fits && joined.fits(&a.layout, a.layout.numel(), caps)).then(|| {
        let outs = vec![product.outs[0], *sums];
        Item { work: Work::Product(joined), ins: product.ins.clone(), outs, at: product.at }
    })
}
