//! Writes the default renderings of the shader templates.

use std::path::Path;

pub fn run() -> Result<(), String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shaders/rendered");
    std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    for (name, kernel) in wgrad_shaders::defaults() {
        let path = folder.join(format!("{name}.wgsl"));
        std::fs::write(&path, wgrad_shaders::rendered(name, &kernel)?)
            .map_err(|e| format!("{}: {e}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}
