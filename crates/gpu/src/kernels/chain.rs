//! Chains of element-wise operations as one kernel: `map_chain`, with text made from the operations' expressions.

use super::{
    map::{self, Fours, NAN},
    walk, word,
};
use crate::{
    Caps,
    launch::{Launch, Operand, Slot},
};
use std::fmt::Write;
use wgrad_core::{DType, Error, Layout, MAX_RANK, Op, Result, collapse_together};
use wgrad_shaders::{Expression, Kernel};

/// The most inputs of a chain: with the output, what an adapter with 8 storage bindings can bind.
pub const MAX_INPUTS: usize = 6;
/// The most operations of a chain that have a number.
pub(super) const MAX_NUMBERS: usize = 8;
/// The most operations of a chain.
pub const MAX_LINKS: usize = 16;
/// The most axes, after merging those that step as one.
const MAX_AXES: usize = 4;

/// Where an operation of a chain gets an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arg {
    /// From memory: input of this number.
    In(usize),
    /// From an earlier operation of the chain.
    Link(usize),
}

/// One operation of a chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// Element-wise, floats to floats.
    pub op: Op,
    /// Its operands.
    pub args: Vec<Arg>,
}

/// The expression and number of an operation that can be part of a chain.
fn expression(op: &Op) -> Option<(Expression, u32)> {
    match op {
        Op::Unary(op) => map::unary_expression(*op, DType::F32).ok(),
        Op::UnaryBackward(op) => map::backward_expression(op.0).ok(),
        Op::Binary(op) => map::binary_expression(*op, DType::F32).ok().map(|e| (e, 0)),
        Op::Scalar(op) => map::scalar_expression(op, DType::F32).ok(),
        // Between floats: a chain is f32 within.
        Op::Copy(_) | Op::Cast(_) => wgrad_shaders::unary("copy").map(|e| (e, 0)),
        _ => None,
    }
}

/// Whether an operation on floats can be part of a chain.
pub fn fits(op: &Op) -> bool {
    expression(op).is_some()
}

/// The chain's `apply`, what it calls, the helper files, and the numbers, which the text expects in `params.numbers`.
pub(super) struct Text {
    pub made: String,
    pub parts: Vec<&'static str>,
    pub numbers: Vec<u32>,
}

pub(super) fn text(links: &[Link], inputs: usize) -> Result<Text> {
    text_as(["apply", "link"], links, inputs, 0)
}

/// The same with other names for the chain and its links, and with numbers from position `first` on.
pub(super) fn text_as(
    [chain, part]: [&str; 2],
    links: &[Link],
    inputs: usize,
    first: usize,
) -> Result<Text> {
    let mut all = Text { made: String::new(), parts: Vec::new(), numbers: Vec::new() };
    let mut body = String::new();
    for (i, link) in links.iter().enumerate() {
        let (expression, number) =
            expression(&link.op).ok_or_else(|| super::missing(link.op.name()))?;
        let mut function = expression.function.replace("fn apply(", &format!("fn {part}{i}("));
        if function.contains("params.scalar") {
            let at = first + all.numbers.len();
            let place = format!("params.numbers[{}][{}]", at / 4, at % 4);
            function = function.replace("params.scalar", &place);
            all.numbers.push(number);
        }
        all.made.push_str(&function);
        all.made.push('\n');
        for part in expression.parts {
            if !all.parts.contains(part) {
                all.parts.push(part);
            }
        }
        let name = |arg: &Arg| match arg {
            Arg::In(x) => format!("x{x}"),
            Arg::Link(v) => format!("v{v}"),
        };
        let args: Vec<String> = link.args.iter().map(name).collect();
        let _ = writeln!(body, "  let v{i} = {part}{i}({});", args.join(", "));
    }
    let names: Vec<String> = (0..inputs).map(|i| format!("x{i}: elem")).collect();
    let last = links.len().saturating_sub(1);
    let _ = writeln!(
        all.made,
        "fn {chain}({}) -> elem {{\n{body}  return v{last};\n}}",
        names.join(", ")
    );
    Ok(all)
}

/// Whether one kernel takes so many operations, and numbers of theirs.
pub fn links_fit(links: &[Link]) -> bool {
    let has_number = |link: &&Link| {
        expression(&link.op).is_some_and(|(e, _)| e.function.contains("params.scalar"))
    };
    links.len() <= MAX_LINKS && links.iter().filter(has_number).count() <= MAX_NUMBERS
}

/// Whether such views fit one kernel.
pub fn views_fit(ins: &[Layout], y: &Layout, links: &[Link]) -> bool {
    ins.len() <= MAX_INPUTS && links_fit(links) && collapsed(ins, y)[0].shape.rank() <= MAX_AXES
}

/// The output's layout and then the inputs', stretched to it, with axes merged.
fn collapsed(ins: &[Layout], y: &Layout) -> [Layout; MAX_INPUTS + 1] {
    let mut all = [*y; MAX_INPUTS + 1];
    for (to, x) in all[1..].iter_mut().zip(ins) {
        *to = x.stretched(y.shape);
    }
    collapse_together(all)
}

/// `y = links(ins..)`, all f32.
pub(crate) fn chain(
    links: &[Link],
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Vec<Launch>> {
    let layouts: Vec<Layout> = ins.iter().map(|x| x.layout).collect();
    let y = outs[0].layout;
    if !views_fit(&layouts, &y, links) {
        return Err(Error::internal("chain", "more operands or axes than a kernel takes"));
    }
    let mut all = collapsed(&layouts, &y);
    let how = all.map(|layout| map::fours(&layout));
    let count_views = ins.len() + 1;
    let four = how[0] == Fours::Whole && how[1..count_views].iter().all(|h| *h != Fours::No);
    if four {
        for (layout, how) in all.iter_mut().zip(how) {
            *layout = map::by_four(layout, how)?;
        }
    }
    let Text { made, parts, numbers } = text(links, ins.len())?;
    let rank = all[0].shape.rank().max(1);
    let mut values =
        vec![("inputs", word(ins.len())), ("rank", word(rank)), ("four", u32::from(four))];
    // On software a workgroup's run is stepped through by its eight lanes.
    let carry = caps.software && rank > 1 && all[0].shape[rank - 1] >= 8;
    values.push(("carry", u32::from(carry)));
    const WHOLE: [&str; MAX_INPUTS] =
        ["whole_0", "whole_1", "whole_2", "whole_3", "whole_4", "whole_5"];
    for (i, name) in WHOLE.into_iter().enumerate() {
        values.push((name, u32::from(i < ins.len() && how[i + 1] == Fours::Whole)));
    }
    let aliases = if four {
        "alias elem = vec4<f32>; alias bits = vec4<u32>; alias mask = vec4<bool>;"
    } else {
        "alias elem = f32; alias bits = u32; alias mask = bool;"
    };
    let kernel = Kernel {
        name: "map_chain",
        parts,
        values,
        functions: vec![
            aliases,
            "alias elem_a = elem; alias elem_b = elem; alias elem_y = elem; alias num = f32;",
        ],
        made,
        ..Kernel::default()
    };
    let words = |values: &[usize], fill: u32| -> [u32; 4] {
        let mut four = [fill; 4];
        for (to, &x) in four.iter_mut().zip(values.iter().rev()) {
            *to = word(x);
        }
        four
    };
    let fill = |mut list: Vec<u32>, length: usize| {
        list.resize(length, 0);
        list
    };
    let offsets = all[..count_views].iter().map(|layout| word(layout.offset)).collect();
    let (count, work) = (all[0].numel(), y.numel() as u64 * links.len() as u64);
    let mut launch = walk(kernel, count, 0, work, caps)
        .params([word(count), NAN, 0, 0])
        .params(fill(numbers, MAX_NUMBERS))
        .params(fill(offsets, 8))
        .params(words(&all[0].shape, 1));
    for layout in &all[..count_views] {
        launch = launch.params(words(&layout.strides, 0));
    }
    for i in 0..ins.len() {
        launch = launch.read(word(i) + 1, Slot::In(i));
    }
    Ok(vec![launch.write(word(ins.len()) + 1, Slot::Out(0))])
}

const _: () = assert!(MAX_AXES <= MAX_RANK);
