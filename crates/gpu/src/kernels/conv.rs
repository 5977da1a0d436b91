//! Convolutions as products whose right operand is read through windows: one description for all three
//! directions, and two kernels that take it.

use super::{matmul::sum_of_parts, small, walk, word};
use crate::{
    Caps,
    launch::{Launch, Operand, Program, Slot},
};
use wgrad_core::{
    Error, Layout, Result, Shape,
    ops::conv::{Conv, Conv2dOptions, ConvInput, ConvWeight},
};
use wgrad_shaders::Kernel;

/// A convolution in one of its directions, as `lib/conv_params.wgsl` tells it.
struct Product {
    op: &'static str,
    /// Rows of a group.
    rows: usize,
    groups: usize,
    /// Columns of a class, and the inner index; the first of each is not an axis of the image.
    columns: [usize; 3],
    inner: [usize; 3],
    /// The left operand: strides of rows, of groups, and along the inner index.
    a: Layout,
    a_strides: [usize; 5],
    /// The right operand: strides of columns' first number, of groups, and along the inner index.
    b: Layout,
    b_strides: [usize; 5],
    /// Along either axis of the image.
    axes: [Axis; 2],
    y: Layout,
    /// Strides in the result of rows, columns' first number, groups, and the axes.
    y_strides: [usize; 5],
    bias: Option<Layout>,
    /// Whether the inner index may be cut into parts.
    splits: bool,
    /// Where both operands are, once they are packed.
    from: [Slot; 2],
}

/// The weight is the second operand, and so is the cotangent beside an input.
const OPERANDS: [Slot; 2] = [Slot::In(1), Slot::In(0)];

/// What happens along one axis of the image.
#[derive(Clone, Copy)]
struct Axis {
    /// Elements of what is read.
    size: usize,
    /// Elements of the result.
    out: usize,
    /// Column c, tap j of class d reads at `c·mul + (d + base + j·dk)/div` where that is whole.
    mul: usize,
    base: i64,
    dk: i64,
    div: usize,
}

impl Axis {
    /// Every how many taps meet a class.
    fn step(&self) -> usize {
        self.div / common(self.div, self.dk.unsigned_abs() as usize).max(1)
    }
}

fn common(a: usize, b: usize) -> usize {
    if b == 0 { a } else { common(b, a % b) }
}

/// Kernels count places in the image, padding included, in i32 and add them up.
const MOST: usize = 1 << 28;

fn in_reach(
    op: &'static str,
    options: &Conv2dOptions,
    x: &Layout,
    kernel: [usize; 2],
) -> Result<()> {
    for (axis, taps) in kernel.into_iter().enumerate() {
        let reach = taps.saturating_mul(options.dilation[axis]);
        let size = x.shape[axis + 2].saturating_add(options.padding[axis].saturating_mul(2));
        if [size, reach, options.stride[axis]].iter().any(|&n| n > MOST) {
            return Err(Error::size(
                op,
                format!(
                    "a kernel that reaches over {reach} in {size} elements, padding included; \
                     GPUs count to {MOST} here, use smaller sizes"
                ),
            ));
        }
    }
    Ok(())
}

/// y [n, c_out, oh, ow] from x and the weight.
pub(super) fn forward(
    op: &Conv,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Program> {
    let ([x, w, y], options) = ([ins[0].layout, ins[1].layout, outs[0].layout], op.options);
    let kernel = [w.shape[2], w.shape[3]];
    in_reach("conv2d", &options, &x, kernel)?;
    let [rows, c_in] = [w.shape[0] / options.groups, w.shape[1]];
    let s = y.shape.contiguous_strides();
    Product {
        op: "conv2d",
        rows,
        groups: options.groups,
        columns: [y.shape[0], y.shape[2], y.shape[3]],
        inner: [c_in, kernel[0], kernel[1]],
        a: w,
        a_strides: [w.strides[0], rows * w.strides[0], w.strides[1], w.strides[2], w.strides[3]],
        b: x,
        b_strides: [x.strides[0], c_in * x.strides[1], x.strides[1], x.strides[2], x.strides[3]],
        axes: std::array::from_fn(|i| Axis {
            size: x.shape[i + 2],
            out: y.shape[i + 2],
            mul: options.stride[i],
            base: -(options.padding[i] as i64),
            dk: options.dilation[i] as i64,
            div: 1,
        }),
        y,
        y_strides: [s[1], s[0], rows * s[1], s[2], s[3]],
        bias: ins.get(2).map(|b| b.layout),
        splits: false,
        from: OPERANDS,
    }
    .lower(caps)
}

/// dx [n, c_in, h, w] from dy and the weight. With a stride the elements of dx fall into classes that
/// meet different taps.
pub(super) fn for_input(
    op: &ConvInput,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Program> {
    let ([dy, w, dx], options) = ([ins[0].layout, ins[1].layout, outs[0].layout], op.options);
    let kernel = [w.shape[2], w.shape[3]];
    in_reach("conv_transpose2d", &options, &dx, kernel)?;
    let [c_out, rows] = [w.shape[0] / options.groups, w.shape[1]];
    let s = dx.shape.contiguous_strides();
    let per_class = |i: usize| dx.shape[i + 2].div_ceil(options.stride[i]);
    Product {
        op: "conv_transpose2d",
        rows,
        groups: options.groups,
        columns: [dx.shape[0], per_class(0), per_class(1)],
        inner: [c_out, kernel[0], kernel[1]],
        a: w,
        a_strides: [w.strides[1], c_out * w.strides[0], w.strides[0], w.strides[2], w.strides[3]],
        b: dy,
        b_strides: [
            dy.strides[0],
            c_out * dy.strides[1],
            dy.strides[1],
            dy.strides[2],
            dy.strides[3],
        ],
        axes: std::array::from_fn(|i| Axis {
            size: dy.shape[i + 2],
            out: dx.shape[i + 2],
            mul: 1,
            base: options.padding[i] as i64,
            dk: -(options.dilation[i] as i64),
            div: options.stride[i],
        }),
        y: dx,
        y_strides: [s[1], s[0], rows * s[1], s[2], s[3]],
        bias: ins.get(2).map(|b| b.layout),
        splits: false,
        from: OPERANDS,
    }
    .lower(caps)
}

/// dw [c_out, c_in/groups, kh, kw] from x and dy: windows and taps change places.
pub(super) fn for_weight(
    op: &ConvWeight,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Program> {
    let ([x, dy, dw], options) = ([ins[0].layout, ins[1].layout, outs[0].layout], op.options);
    in_reach("conv2d_weight", &options, &x, op.kernel)?;
    let [rows, c_in] = [dw.shape[0] / options.groups, dw.shape[1]];
    let s = dw.shape.contiguous_strides();
    Product {
        op: "conv2d_weight",
        rows,
        groups: options.groups,
        columns: [c_in, op.kernel[0], op.kernel[1]],
        inner: [x.shape[0], dy.shape[2], dy.shape[3]],
        a: dy,
        a_strides: [
            dy.strides[1],
            rows * dy.strides[1],
            dy.strides[0],
            dy.strides[2],
            dy.strides[3],
        ],
        b: x,
        b_strides: [x.strides[1], c_in * x.strides[1], x.strides[0], x.strides[2], x.strides[3]],
        axes: std::array::from_fn(|i| Axis {
            size: x.shape[i + 2],
            out: op.kernel[i],
            mul: options.dilation[i],
            base: -(options.padding[i] as i64),
            dk: options.stride[i] as i64,
            div: 1,
        }),
        y: dw,
        y_strides: [s[0], s[1], rows * s[0], s[2], s[3]],
        bias: None,
        splits: true,
        from: OPERANDS,
    }
    .lower(caps)
}

/// A kernel with the rows and columns of a workgroup.
struct Built {
    kernel: Kernel,
    block: [usize; 2],
    /// Elements of the inner index at once.
    depth: usize,
}

impl Product {
    /// The table: which kernel. Lanes along the columns on software adapters, and where a group has too few rows
    /// to fill a tile; else tiles, as high as there are rows for.
    fn build(&self, packed: bool, caps: &Caps) -> Built {
        let columns: usize = self.columns.iter().product();
        if caps.software || self.rows <= 4 {
            let shuffle = caps.software && caps.subgroups == Some((8, 8)) && self.rows > 4;
            let rows = match (self.rows, shuffle) {
                (1, _) => 1,
                (2..=4, _) => 4,
                (5..=8, _) | (_, false) => 8,
                (9..=16, _) => 16,
                _ => 32,
            };
            let lanes = if caps.software { 8 } else { 64 };
            // Few texts: each is compiled at its first use.
            let cols4 = if caps.software && columns > 32 { 2 } else { 1 };
            let values = [
                ("rows", rows),
                ("cols4", cols4),
                ("lanes", lanes),
                ("shuffle", shuffle.into()),
                ("packed", packed.into()),
                ("small", small(&[columns])),
            ];
            return Built {
                kernel: kernel("conv_lanes", &values),
                block: [rows as usize, (lanes * 4 * cols4) as usize],
                depth: 1,
            };
        }
        let (bm, bn) = match self.rows {
            ..=16 => (16, 64),
            17..=32 => (32, 64),
            _ => (64, 64),
        };
        let values = [("bm", bm), ("bn", bn), ("bk", 16), ("tm", 4)];
        Built {
            kernel: kernel("conv_tiles", &values),
            block: [bm as usize, bn as usize],
            depth: 16,
        }
    }

    fn lower(mut self, caps: &Caps) -> Result<Program> {
        if !self.y.is_contiguous() {
            return Err(Error::internal(self.op, "the result is not contiguous"));
        }
        let mut program = Program::default();
        let packed = self.packs(caps);
        if packed {
            self.pack(&mut program, caps);
        }
        let built = self.build(packed, caps);
        let classes = self.axes[0].div * self.axes[1].div;
        let blocks = self.rows.div_ceil(built.block[0])
            * self.columns.iter().product::<usize>().div_ceil(built.block[1])
            * classes
            * self.groups;
        let parts = self.parts(blocks, caps);
        let together = parts[0] * parts[1];
        if together == 1 {
            program.launches.push(self.launch(&built, parts, Slot::Out(0), caps)?);
            return Ok(program);
        }
        let (count, between) = (self.y.numel(), Slot::Scratch(program.scratch.len()));
        program.scratch.push(count * together * 4);
        program.launches.push(self.launch(&built, parts, between, caps)?);
        program.launches.push(sum_of_parts(count, together, self.y.offset, between, caps)?);
        Ok(program)
    }

    /// Sizes of the operands when their inner index lies together: vec4 of the left, and of the right.
    fn packed_sizes(&self) -> [[usize; 5]; 2] {
        let fours = self.inner[0].div_ceil(4);
        let [_, k1, k2] = self.inner;
        [
            [self.groups, self.rows, k1, k2, fours],
            [self.groups, self.columns[0], self.axes[0].size, self.axes[1].size, fours],
        ]
    }

    /// Whether both operands are packed first: on software adapters, where there is something to lay together and
    /// each element is used often enough, and if the copies fit one binding.
    fn packs(&self, caps: &Caps) -> bool {
        let fits = |sizes: &[usize; 5]| {
            let count = sizes.iter().try_fold(1usize, |all, &size| all.checked_mul(size));
            count.is_some_and(|count| count as u64 <= caps.max_binding / 16)
        };
        caps.software && self.rows > 4 && self.inner[0] >= 4 && self.packed_sizes().iter().all(fits)
    }

    /// Copies both operands, inner index together, and takes the copies in their place.
    fn pack(&mut self, program: &mut Program, caps: &Caps) {
        let [a_row, a_group, a_k0, a_k1, a_k2] = self.a_strides;
        let [b_c0, b_group, b_k0, b_1, b_2] = self.b_strides;
        let of_a = (self.a.offset, [a_group, a_row, a_k1, a_k2], a_k0);
        let of_b = (self.b.offset, [b_group, b_c0, b_1, b_2], b_k0);
        for (i, ((offset, strides, stride), sizes)) in
            [of_a, of_b].into_iter().zip(self.packed_sizes()).enumerate()
        {
            let [.., fours] = sizes;
            let shape = Shape::from_checked(&sizes[..4]);
            let count = shape.numel();
            let to = Slot::Scratch(program.scratch.len());
            program.scratch.push(count * fours * 16);
            let kernel = Kernel {
                name: "conv_pack",
                parts: vec!["over"],
                values: vec![("SMALL", small(&[count]))],
                ..Kernel::default()
            };
            let launch = walk(kernel, count, fours + 4, (count * fours * 4) as u64, caps)
                .params([count, offset, self.inner[0], stride].map(word))
                .params(shape.iter().map(|&size| word(size)))
                .params(strides.map(word))
                .read(1, self.from[i])
                .write(2, to);
            program.launches.push(launch);
            self.from[i] = to;
            let s = Shape::from_checked(&sizes).contiguous_strides();
            let strides = [s[1], s[0], 1, s[2], s[3]];
            if i == 0 { self.a_strides = strides } else { self.b_strides = strides }
        }
        (self.a.offset, self.b.offset) = (0, 0);
        self.inner[0] = self.inner[0].div_ceil(4);
    }

    /// Parts of the inner index: along its first number, and where a thread would still loop too often along
    /// its second. As many as fill the adapter, if their results fit one binding.
    fn parts(&self, blocks: usize, caps: &Caps) -> [usize; 2] {
        if !self.splits {
            return [1, 1];
        }
        let [k0, k1, k2] = self.inner.map(|k| k.max(1));
        let most_steps = usize::try_from(caps.max_steps / 2).unwrap_or(usize::MAX);
        let wanted = if caps.software { 8 * caps.threads.max(1) as usize } else { 256 };
        let bytes = (self.y.numel() as u64 * 4).max(1);
        let held = usize::try_from(caps.max_binding / bytes).unwrap_or(usize::MAX).clamp(1, 64);
        let needed = k0.saturating_mul(k1).saturating_mul(k2).div_ceil(most_steps);
        let parts_0 = wanted.div_ceil(blocks.max(1)).min(held).max(needed).clamp(1, k0);
        let left = k0.div_ceil(parts_0).saturating_mul(k1).saturating_mul(k2);
        let parts_1 = left.div_ceil(most_steps).clamp(1, k1);
        // The last part may have nothing to do: then there is one less.
        [k0.div_ceil(k0.div_ceil(parts_0)), k1.div_ceil(k1.div_ceil(parts_1))]
    }

    fn launch(&self, built: &Built, parts: [usize; 2], to: Slot, caps: &Caps) -> Result<Launch> {
        let columns: usize = self.columns.iter().product();
        let [k0, k1, k2] = self.inner;
        let [part_k0, part_k1] = [k0.div_ceil(parts[0]).max(1), k1.div_ceil(parts[1]).max(1)];
        let blocks_rows = self.rows.div_ceil(built.block[0]);
        let blocks_cols = columns.div_ceil(built.block[1]);
        let all = [
            blocks_rows,
            blocks_cols,
            self.axes[0].div,
            self.axes[1].div,
            self.groups,
            parts[0],
            parts[1],
        ];
        let blocks = all.into_iter().try_fold(1usize, |all, count| all.checked_mul(count));
        let most = caps.max_groups as usize;
        let blocks =
            blocks.filter(|&blocks| blocks.div_ceil(most) <= most && u32::try_from(blocks).is_ok());
        let Some(blocks) = blocks else {
            return Err(Error::size(
                self.op,
                format!("a result of {:?} is too large for one launch", self.y.shape),
            ));
        };
        let grid = [blocks.min(most), blocks.div_ceil(most)];
        let [one, two] = self.axes;
        // The taps of a class, per channel or image; then the search for them, and the stores.
        let inner = part_k0
            .saturating_mul(part_k1.div_ceil(one.step()))
            .saturating_mul(k2.div_ceil(two.step()));
        let steps = if built.depth == 1 {
            inner + part_k1 * k2 + one.step() + two.step() + built.block[0] + 2
        } else {
            (inner / built.depth + 1) * (built.depth + 1) + one.step() + two.step()
        };
        let taps = (k0 * k1 * k2).div_ceil(one.step() * two.step());
        let work = (self.rows * columns * self.groups * one.div * two.div) as u64
            * taps.max(1) as u64
            * if self.from == OPERANDS { 1 } else { 4 };
        let signed = |x: i64| x as i32 as u32;
        let tap = |axis: Axis| signed(axis.step() as i64 * axis.dk / axis.div as i64);
        let [a_row, a_group, a_k0, a_k1, a_k2] = self.a_strides;
        let [b_c0, b_group, b_k0, b_1, b_2] = self.b_strides;
        let [y_row, y_c0, y_group, y_1, y_2] = self.y_strides;
        let y_offset = if to == Slot::Out(0) { self.y.offset } else { 0 };
        let bias = self.bias.map_or([0, 0], |b| [b.offset, b.strides[0]]);
        Ok(Launch::new(built.kernel.clone(), grid.map(word), work)
            .steps(steps as u64)
            .params([self.rows, columns, self.groups, parts[0] * parts[1]].map(word))
            .params([k0, k1, k2, part_k0].map(word))
            .params([self.a.offset, a_row, a_group, a_k0].map(word))
            .params([a_k1, a_k2, self.b.offset, b_group].map(word))
            .params([b_c0, b_k0, b_1, b_2].map(word))
            .params([self.columns[1], self.columns[2], one.size, two.size].map(word))
            .params([word(one.mul), word(two.mul), signed(one.base), signed(two.base)])
            .params([signed(one.dk), signed(two.dk), word(one.div), word(two.div)])
            .params([one.step(), two.step(), one.out, two.out].map(word))
            .params([y_offset, y_row, y_c0, y_group].map(word))
            .params([y_1, y_2, self.y.numel(), bias[0]].map(word))
            .params([bias[1], grid[0], blocks_rows, blocks_cols].map(word))
            .params([word(part_k1), word(parts[1]), tap(one), tap(two)])
            .read(1, self.from[0])
            .read(2, self.from[1])
            .read(3, if self.bias.is_some() { Slot::In(2) } else { Slot::Zeros })
            .write(4, to))
    }
}

fn kernel(name: &'static str, values: &[(&'static str, u32)]) -> Kernel {
    let lanes = (name == "conv_lanes").then_some("over");
    let parts = ["conv_params"].into_iter().chain(lanes).collect();
    Kernel { name, parts, values: values.to_vec(), ..Kernel::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgrad_core::{DType, ErrorKind};

    fn operand(sizes: [usize; 4]) -> Operand {
        Operand { layout: Layout::contiguous(Shape::from_checked(&sizes)), dtype: DType::F32 }
    }

    /// Kernels and their rows for x, weight and y of a forward convolution.
    fn forward_of(
        options: Conv2dOptions,
        sizes: [[usize; 4]; 3],
        caps: &Caps,
    ) -> Result<Vec<(&'static str, u32)>> {
        let [x, w, y] = sizes.map(operand);
        let program = forward(&Conv { options, bias: false }, &[x, w], &[y], caps)?;
        let rows = |kernel: &Kernel| {
            let value = kernel.values.iter().find(|(name, _)| ["rows", "bm"].contains(name));
            value.map_or(0, |&(_, rows)| rows)
        };
        Ok(program.launches.iter().map(|l| (l.kernel.name, rows(&l.kernel))).collect())
    }

    #[test]
    fn the_table_of_kernels() -> Result<()> {
        let gpu = Caps::floor(false, 0);
        let plain = Caps::floor(true, 4);
        let software = Caps { subgroups: Some((8, 8)), ..plain };
        let one = Conv2dOptions::new();
        let sizes = |c: usize, out: usize, groups: usize| {
            [[4, c, 9, 9], [out, c / groups, 3, 3], [4, out, 7, 7]]
        };
        let pack = ("conv_pack", 0);
        for (options, sizes, caps, want) in [
            (one, sizes(32, 64, 1), &gpu, vec![("conv_tiles", 64)]),
            (one, sizes(1, 6, 1), &gpu, vec![("conv_tiles", 16)]),
            (one, sizes(32, 3, 1), &gpu, vec![("conv_lanes", 4)]),
            (one.groups(8), sizes(8, 8, 8), &gpu, vec![("conv_lanes", 1)]),
            (one, sizes(32, 64, 1), &software, vec![pack, pack, ("conv_lanes", 32)]),
            (one, sizes(32, 64, 1), &plain, vec![pack, pack, ("conv_lanes", 8)]),
            (one, sizes(1, 6, 1), &software, vec![("conv_lanes", 8)]),
            (one.groups(8), sizes(8, 8, 8), &software, vec![("conv_lanes", 1)]),
        ] {
            assert_eq!(forward_of(options, sizes, caps)?, want, "{sizes:?}");
        }
        Ok(())
    }

    #[test]
    fn places_that_kernels_cannot_count_are_refused() {
        let options = Conv2dOptions::new().padding(1 << 30).stride(1 << 30);
        let sizes = [[1, 1, 4, 4], [1, 1, 1, 1], [1, 1, 3, 3]];
        let refused = forward_of(options, sizes, &Caps::floor(false, 0)).err();
        assert_eq!(refused.map(|e| e.kind()), Some(ErrorKind::Size));
    }

    /// Every tap belongs to the one class whose elements it meets.
    #[test]
    fn steps_of_taps() {
        let axis = |div, dk| Axis { size: 9, out: 9, mul: 1, base: 0, dk, div };
        assert_eq!(axis(1, 3).step(), 1);
        assert_eq!(axis(2, -1).step(), 2);
        assert_eq!(axis(4, -2).step(), 2);
        assert_eq!(axis(3, -3).step(), 1);
        assert_eq!(axis(2, -3).step(), 2);
    }
}
