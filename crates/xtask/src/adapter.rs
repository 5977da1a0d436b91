//! Sees to it that there is a GPU adapter: real, or Mesa's software Vulkan.

use std::{
    io::{IsTerminal, Write},
    path::Path,
    process::Command,
};

/// Makes sure that an adapter is there; installs software Vulkan if it may.
pub fn ensure(yes: bool) -> Result<(), String> {
    if !names()?.is_empty() {
        return Ok(());
    }
    if !Path::new("/etc/debian_version").exists() {
        return Err(format!("no GPU adapter found: {}; then run this again", wgrad_gpu::help()));
    }
    let root = output("id", &["-u"]).is_some_and(|id| id.trim() == "0");
    let apt = |args: &[&str]| {
        let mut command = if root { Command::new("apt-get") } else { Command::new("sudo") };
        if !root {
            command.arg("apt-get");
        }
        command.args(args).env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    let install = ["install", "-y", "--no-install-recommends", "mesa-vulkan-drivers", "libvulkan1"];
    let said = format!("{}apt-get {}", if root { "" } else { "sudo " }, install.join(" "));
    if !yes && std::env::var_os("CI").is_none() && !confirm(&said)? {
        return Err(format!("no GPU adapter found; run `{said}`, then this again"));
    }
    eprintln!("xtask: no GPU adapter found, installing software Vulkan: {said}");
    // The lists may be missing on a fresh machine; where they are only old the install tells.
    for args in [&["update", "-qq"][..], &install] {
        let status = apt(args).status().map_err(|e| format!("apt-get does not start: {e}"))?;
        if !status.success() {
            return Err(format!(
                "`apt-get {}` failed ({status}); run `{said}` yourself",
                args.join(" ")
            ));
        }
    }
    Ok(())
}

/// Names of the adapters that are there.
pub fn names() -> Result<Vec<String>, String> {
    let adapters = wgrad_gpu::adapters().map_err(|e| e.to_string())?;
    Ok(adapters.into_iter().map(|a| format!("{} ({}, {})", a.name, a.api, a.driver)).collect())
}

fn output(program: &str, args: &[&str]) -> Option<String> {
    let out = Command::new(program).args(args).output().ok()?;
    String::from_utf8(out.stdout).ok()
}

fn confirm(what: &str) -> Result<bool, String> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    eprint!("No GPU adapter found. Install Mesa's software Vulkan with `{what}`? [y/N] ");
    std::io::stderr().flush().map_err(|e| e.to_string())?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(|e| e.to_string())?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
