//! A kernel's text through naga: valid, writable in all languages, within the floor's limits, and with
//! the bindings and parameters that its launch gives it.

use naga::{
    AddressSpace, Module, StorageAccess,
    back::{hlsl, msl, pipeline_constants::process_overrides, spv},
    valid::{Capabilities, ModuleInfo, ValidationFlags, Validator},
};
use wgrad_gpu::launch::Launch;

/// WebGPU's floor.
const WORKGROUP_MEMORY: u32 = 16_384;
const LANES: u32 = 256;
/// What the recorder reserves for the parameters of a launch.
const PARAMS: u32 = 256;

pub fn check(launch: &Launch) -> Result<(), String> {
    let text = wgrad_shaders::source(&launch.kernel)?;
    let module = naga::front::wgsl::parse_str(&text).map_err(|e| e.emit_to_string(&text))?;
    // Subgroup operations only where the kernel was chosen for them.
    let shuffles =
        launch.kernel.values.contains(&("shuffle", 1)) || launch.kernel.parts.contains(&"keep_sum");
    let mut capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32; // unpack2x16float: in all of WebGPU
    capabilities.set(Capabilities::SUBGROUP, shuffles);
    // Cooperative matrices are for Vulkan, and those of 8 for Metal; they need more than the floor.
    let cooperative = launch.kernel.name == "matmul_cooperative";
    let metal = !cooperative || launch.kernel.values.contains(&("edge", 8));
    capabilities.set(Capabilities::SHADER_FLOAT16 | Capabilities::COOPERATIVE_MATRIX, cooperative);
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .map_err(|e| e.emit_to_string(&text))?;
    write(&module, &info, metal, !cooperative)?;
    limits(&module, if cooperative { 2 * WORKGROUP_MEMORY } else { WORKGROUP_MEMORY })?;
    interface(&module, launch)
}

/// SPIR-V always, MSL and HLSL where asked.
fn write(module: &Module, info: &ModuleInfo, metal: bool, dx12: bool) -> Result<(), String> {
    let stage = naga::ShaderStage::Compute;
    let main = || "main".to_owned();
    let (m, i) = process_overrides(module, info, Some((stage, "main")), &Default::default())
        .map_err(|e| format!("overrides: {e}"))?;
    let options = spv::Options {
        lang_version: (1, 3),
        flags: spv::WriterFlags::empty(),
        ..Default::default()
    };
    let entry = spv::PipelineOptions { shader_stage: stage, entry_point: main() };
    spv::write_vec(&m, &i, &options, Some(&entry)).map_err(|e| format!("SPIR-V: {e}"))?;
    if !metal {
        return Ok(());
    }
    let options = msl::Options { lang_version: (3, 0), ..Default::default() };
    let entry = msl::PipelineOptions { entry_point: Some((stage, main())), ..Default::default() };
    msl::write_string(&m, &i, &options, &entry).map_err(|e| format!("MSL: {e}"))?;
    if !dx12 {
        return Ok(());
    }
    let options = hlsl::Options { shader_model: hlsl::ShaderModel::V6_0, ..Default::default() };
    let entry = hlsl::PipelineOptions { entry_point: Some((stage, main())) };
    let mut text = String::new();
    hlsl::Writer::new(&mut text, &options, &entry)
        .write(&m, &i, None)
        .map(|_| ())
        .map_err(|e| format!("HLSL: {e}"))
}

fn limits(module: &Module, allowed: u32) -> Result<(), String> {
    let memory: u32 = module
        .global_variables
        .iter()
        .filter(|(_, variable)| variable.space == AddressSpace::WorkGroup)
        .map(|(_, variable)| module.types[variable.ty].inner.size(module.to_ctx()))
        .sum();
    let [entry] = &module.entry_points[..] else {
        return Err("there is more than one entry point, or none".to_owned());
    };
    let lanes: u32 = entry.workgroup_size.iter().product();
    if memory > allowed || lanes > LANES {
        return Err(format!("{memory} bytes of workgroup memory, {lanes} lanes: beyond the limit"));
    }
    Ok(())
}

/// The shader's bindings are those of the launch, and its parameters are as long.
fn interface(module: &Module, launch: &Launch) -> Result<(), String> {
    let mut shader = Vec::new();
    for (_, variable) in module.global_variables.iter() {
        let Some(binding) = variable.binding else { continue };
        match variable.space {
            AddressSpace::Uniform => {
                let size = module.types[variable.ty].inner.size(module.to_ctx());
                let given = launch.params.len() as u32 * 4;
                if size > PARAMS || given.next_multiple_of(16) != size.next_multiple_of(16) {
                    return Err(format!("{size} bytes of parameters, {given} given"));
                }
            }
            AddressSpace::Storage { access } => {
                shader.push((binding.binding, access.contains(StorageAccess::STORE)));
            }
            _ => {}
        }
    }
    let mut given: Vec<(u32, bool)> =
        launch.bindings.iter().map(|binding| (binding.at, binding.write)).collect();
    shader.sort_unstable();
    given.sort_unstable();
    if shader != given {
        return Err(format!("bindings (number, written) {shader:?}, the launch gives {given:?}"));
    }
    Ok(())
}
