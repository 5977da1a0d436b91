//! The rendered templates in the repository are what the templates give today.

#[test]
fn rendered_files_are_up_to_date() {
    for (file, kernel) in wgrad_shaders::defaults() {
        let path = format!("{}/rendered/{file}.wgsl", env!("CARGO_MANIFEST_DIR"));
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        let now = wgrad_shaders::rendered(file, &kernel).unwrap();
        assert!(committed == now, "{path} is out of date; run `cargo xtask render`");
    }
}
