//! The registry checks itself: every operation has a row, a gradient or a reason, and a kernel; every
//! kernel and helper file is used, is valid in every shading language, and stays within the floor.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "registry/kinds.rs"]
mod kinds;
#[path = "registry/shader.rs"]
mod shader;
#[path = "registry/spy.rs"]
mod spy;
mod support;

use kinds::{Kind, kind};
use spy::{Call, Spy};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    path::Path,
    sync::LazyLock,
};
use support::{check, table};
use wgrad_core::{Op, Trace};
use wgrad_gpu::{
    Caps, Cooperative, MatMulVariant, Square, Tile, kernels::lower, launch::Launch, lower_trace,
    roofline_launches,
};

/// What the table runs.
struct Walked {
    calls: Vec<Call>,
    /// Recorded steps.
    traces: Vec<Trace>,
    /// Kinds that some row runs, and those that a row with a checked gradient runs forward.
    run: BTreeSet<Kind>,
    differentiated: BTreeSet<Kind>,
}

static WALKED: LazyLock<Walked> = LazyLock::new(|| {
    let (device, spy) = Spy::device();
    let mut walked = Walked {
        calls: Vec::new(),
        traces: Vec::new(),
        run: BTreeSet::new(),
        differentiated: BTreeSet::new(),
    };
    let mut seen = HashSet::new();
    for row in table::rows() {
        let mut forward = Vec::new();
        let mut all = Vec::new();
        check::walk(&row, &device, || {
            forward.extend(spy.take().into_iter().map(|call| {
                let kind = kind(&call.op);
                all.push(call);
                kind
            }))
        })
        .unwrap_or_else(|e| panic!("{}: {e:?}", row.name));
        all.extend(spy.take());
        walked.traces.extend(spy.take_traces());
        walked.run.extend(all.iter().map(|call| kind(&call.op)));
        if row.no_gradient.is_none() && row.cases.iter().any(|case| case.gradient) {
            walked.differentiated.extend(forward);
        }
        walked.calls.extend(all.into_iter().filter(|call| seen.insert(format!("{call:?}"))));
    }
    walked
});

/// Adapters to choose kernels for: the floor and what real ones have, each real and software, and each
/// matmul variant forced.
fn adapters() -> Vec<Caps> {
    let software = Caps::floor(true, 4);
    let hardware = Caps::floor(false, 0);
    let mut all = vec![
        software,
        hardware,
        Caps { subgroups: Some((8, 8)), max_binding: 1 << 27, max_buffer: 1 << 31, ..software },
        Caps { subgroups: Some((32, 32)), max_binding: 1 << 31, max_buffer: 1 << 32, ..hardware },
    ];
    let forced = [
        MatMulVariant::Tiled,
        MatMulVariant::Registers { tile: Tile::Small, parts: 1 },
        MatMulVariant::Registers { tile: Tile::Medium, parts: 3 },
        MatMulVariant::Registers { tile: Tile::Large, parts: 1 },
        MatMulVariant::Registers { tile: Tile::Wide, parts: 1 },
        MatMulVariant::Thin { parts: 1 },
        MatMulVariant::Thin { parts: 3 },
        MatMulVariant::Lanes { rows: 24, cols4: 2, shuffle: false },
    ];
    all.extend(forced.map(|variant| Caps { force_matmul: Some(variant), ..hardware }));
    // Matrix units as NVIDIA and AMD list them, and as Metal does.
    for (edge, square) in [(16, Square::Of64), (16, Square::Of128), (8, Square::Of64)] {
        all.push(Caps {
            cooperative: Some(Cooperative { edge, subgroup: 32, packed: edge == 16 }),
            force_matmul: Some(MatMulVariant::Cooperative { square, parts: 1 }),
            workgroup_memory: 32 << 10,
            ..hardware
        });
    }
    all
}

/// One launch for each distinct kernel, as some adapter gets it.
static LAUNCHES: LazyLock<HashMap<wgrad_shaders::Kernel, Launch>> = LazyLock::new(|| {
    let mut launches = HashMap::new();
    for caps in adapters() {
        for call in &WALKED.calls {
            let program = lower(&call.op, &call.ins, &call.outs, &caps)
                .unwrap_or_else(|e| panic!("{call:?}: {e:?}"));
            assert!(!program.launches.is_empty(), "nothing runs for {call:?}");
            for launch in program.launches {
                launches.entry(launch.kernel.clone()).or_insert(launch);
            }
        }
        let recorded = WALKED.traces.iter().flat_map(|trace| lower_trace(trace, &caps).unwrap());
        for launch in recorded.chain(roofline_launches(&caps)) {
            launches.entry(launch.kernel.clone()).or_insert(launch);
        }
    }
    launches
});

#[test]
fn every_operation_has_a_row() {
    let missing: Vec<Kind> =
        kinds::all().iter().map(kind).filter(|k| !WALKED.run.contains(k)).collect();
    assert!(missing.is_empty(), "no row of the table runs {missing:?}");
}

#[test]
fn every_operation_has_a_checked_gradient_or_says_why_not() {
    for op in kinds::all() {
        match op.no_gradient() {
            Some(reason) => assert!(!reason.is_empty(), "{op:?}"),
            // Whole numbers carry no gradient; only casts between floats have one.
            None if matches!(op, Op::Cast(to) if !to.0.is_float()) => {}
            None => {
                let kind = kind(&op);
                assert!(
                    WALKED.differentiated.contains(&kind),
                    "no row checks the gradient of {kind:?}"
                );
            }
        }
    }
}

#[test]
fn views_have_rows_and_are_not_run() {
    let rows: Vec<String> = table::rows().into_iter().map(|row| row.name).collect();
    for name in ["reshape", "permute", "slice", "broadcast_to"] {
        assert!(rows.iter().any(|row| row == name), "no row {name}");
    }
    assert!(!WALKED.calls.iter().any(|call| matches!(call.op, Op::ViewOp(_))));
}

#[test]
fn rows_have_names_of_their_own() {
    let mut seen = HashSet::new();
    for row in table::rows() {
        assert!(seen.insert(row.name.clone()), "two rows are called {:?}", row.name);
        assert!(!row.cases.is_empty(), "{} has no case", row.name);
    }
}

#[test]
fn every_kernel_and_part_is_used() {
    let used: HashSet<&str> = LAUNCHES.keys().map(|kernel| kernel.name).collect();
    let unused: Vec<&str> = wgrad_shaders::names().filter(|name| !used.contains(name)).collect();
    assert!(unused.is_empty(), "no operation runs {unused:?}");
    let used: HashSet<&str> = LAUNCHES.keys().flat_map(|kernel| kernel.parts.clone()).collect();
    let unused: Vec<&str> = wgrad_shaders::parts().filter(|name| !used.contains(name)).collect();
    assert!(unused.is_empty(), "no kernel uses {unused:?}");
}

#[test]
fn every_kernel_is_valid_in_every_language() {
    for launch in LAUNCHES.values() {
        let checked = shader::check(launch);
        assert!(checked.is_ok(), "{:?}: {}", launch.kernel, checked.unwrap_err());
    }
}

/// Some row follows each product for GPUs by a bias and by an operand that lies as the result does.
#[test]
fn products_take_further_operands() {
    for operand in [("bias", 1), ("extra", 1)] {
        let has = |kernel: &&wgrad_shaders::Kernel| kernel.values.contains(&operand);
        let seen: HashSet<&str> = LAUNCHES.keys().filter(has).map(|kernel| kernel.name).collect();
        assert_eq!(seen.len(), 4, "{operand:?}: {seen:?}");
    }
}

#[test]
fn a_product_too_long_for_a_software_adapter_is_refused() {
    let (device, spy) = Spy::device();
    let x = wgrad_core::Tensor::zeros([300_000], &device).unwrap();
    x.matmul(&x).unwrap();
    let call = spy.take().into_iter().find(|call| matches!(call.op, Op::MatMul(_))).unwrap();
    let refused = lower(&call.op, &call.ins, &call.outs, &Caps::floor(true, 4)).unwrap_err();
    assert_eq!(refused.kind(), wgrad_core::ErrorKind::Size, "{refused}");
    assert!(lower(&call.op, &call.ins, &call.outs, &Caps::floor(false, 0)).is_ok());
}

#[test]
fn matrix_units_that_are_not_there_are_an_error() {
    let call = WALKED.calls.iter().find(|call| matches!(call.op, Op::MatMul(_))).unwrap();
    let forced = MatMulVariant::Cooperative { square: Square::Of64, parts: 1 };
    let without = Caps { force_matmul: Some(forced), ..Caps::floor(false, 0) };
    let refused = lower(&call.op, &call.ins, &call.outs, &without).unwrap_err();
    assert_eq!(refused.kind(), wgrad_core::ErrorKind::Device, "{refused}");
}

#[test]
fn every_shader_begins_with_its_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let mut count = 0;
    for folder in [root.clone(), root.join("lib")] {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let file = path.file_name().unwrap().to_str().unwrap();
            let name = file.strip_suffix(".wgsl").or_else(|| file.strip_suffix(".wgsl.jinja"));
            let Some(name) = name else { continue };
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(
                text.starts_with(&format!("// {name}: ")),
                "{file} does not begin with its name"
            );
            count += 1;
        }
    }
    assert_eq!(count, wgrad_shaders::names().count() + wgrad_shaders::parts().count());
}
