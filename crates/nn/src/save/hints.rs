//! What to do next about a file that does not load, where the cause shows.

use super::shown;
use std::{collections::HashSet, env, path::Path};

/// What a file is opened for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Weights,
    Checkpoint,
}

/// What was looked for where there is no file, and which folder is missing too.
pub(super) fn missing(path: &Path, purpose: Purpose) -> String {
    let mut text = match purpose {
        Purpose::Weights => "there is no such file; looked for weights (safetensors)",
        Purpose::Checkpoint => "there is no such file; looked for a checkpoint",
    }
    .to_owned();
    if path.is_relative()
        && let Ok(here) = env::current_dir()
    {
        text.push_str(&format!(", from the working directory {}", here.display()));
    }
    let folders = path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folders.take_while(|folder| !folder.exists()).last() {
        text.push_str(&format!("; there is no folder {} either", folder.display()));
    }
    text
}

/// How to convert a file of PyTorch, known by its first bytes: a zip archive, or a pickle as PyTorch wrote before 1.6.
/// As the length of a header both would be greater than any that is read.
pub(super) fn of_pytorch(file: &str, start: &[u8]) -> Option<String> {
    let what = match start {
        [b'P', b'K', 3, 4, ..] => "a zip archive, as PyTorch's .pt and .pth files are",
        [0x80, 2..=5, ..] => "a Python pickle, as PyTorch's older .pt and .pth files are",
        _ => return None,
    };
    let new = Path::new(file).with_extension("safetensors");
    Some(format!(
        "this is {what}, and no safetensors file. In Python this converts it (if it holds more than weights, take their \
         entry, such as [\"state_dict\"]):\n  \
         import torch, safetensors.torch\n  \
         weights = torch.load({file:?}, map_location=\"cpu\", weights_only=True)\n  \
         safetensors.torch.save_file({{name: x.contiguous() for name, x in weights.items()}}, {:?})",
        new.display().to_string()
    ))
}

/// Which part of a file has every wanted name, if the part that was asked for has not.
pub(super) fn part(in_file: &[&str], asked: &str, wanted: &HashSet<&str>) -> Option<String> {
    let all: HashSet<&str> = in_file.iter().copied().collect();
    let holds =
        |part: &str| wanted.iter().all(|name| all.contains(format!("{part}{name}").as_str()));
    let longest = wanted.iter().max_by_key(|name| (name.len(), **name))?;
    if holds(asked) {
        return None;
    }
    let mut parts: Vec<&str> = in_file
        .iter()
        .filter_map(|name| name.strip_suffix(longest))
        .filter(|part| (part.is_empty() || part.ends_with('.')) && holds(part))
        .collect();
    parts.sort_by_key(|part| part.len());
    let part = parts.first()?;
    let Some(name) = part.strip_suffix('.') else {
        return Some("every name is in the file itself: load without part(..)".to_owned());
    };
    let writer = match name.rsplit('.').next() {
        Some("module") => {
            ", which PyTorch's DataParallel and DistributedDataParallel put before names"
        }
        Some("_orig_mod") => ", which torch.compile puts before names",
        _ => "",
    };
    let name = shown(name);
    let others = match parts.len() - 1 {
        0 => String::new(),
        1 => " (and under one other)".to_owned(),
        n => format!(" (and under {n} others)"),
    };
    Some(format!(
        "every name is there under {name}{others}{writer}: LoadWeights::new().part({name}) loads them"
    ))
}

/// An optimizer's rule by the name that its number spells; `None` for other settings.
pub(super) fn rule(setting: &str, value: u64) -> Option<String> {
    if setting.rsplit('.').next() != Some("rule") {
        return None;
    }
    let bytes = value.to_be_bytes();
    let letters = bytes.iter().skip_while(|&&byte| byte == 0);
    let name: String = letters.map(|&byte| char::from(byte)).collect();
    (name.len() > 2 && name.bytes().all(|letter| letter.is_ascii_lowercase())).then_some(name)
}

/// What to do about another rule.
pub(super) const ANOTHER_RULE: &str = "it was saved with another optimizer: make the same one here, or load the model alone \
     (LoadWeights::new().part(..) with its name in the checkpoint) and begin with a new one";
