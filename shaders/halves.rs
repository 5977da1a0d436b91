//! Kernels that read or write 16-bit floats: made from those for f32 by changing how a binding is declared and reached,
//! so that no kernel needs a second text. Halves lie two to a u32, which asks for no feature of the adapter.

use std::fmt::Write;

/// The text with these bindings (their numbers) in halves, or which one cannot be.
pub fn in_halves(text: String, bindings: &[u32]) -> Result<String, String> {
    let mut text = text;
    for &binding in bindings {
        let found = Declaration::find(&text, binding);
        let found = found.ok_or_else(|| format!("binding {binding} cannot hold halves"))?;
        text = found.replace(&text);
    }
    Ok(text)
}

/// `@binding(n) var<storage, access> name: array<type>;`
struct Declaration {
    /// Where the access begins and the declaration ends.
    from: usize,
    to: usize,
    name: String,
    writes: bool,
    /// Whether its elements are vec4<f32>, else f32.
    four: bool,
}

impl Declaration {
    fn find(text: &str, binding: u32) -> Option<Declaration> {
        let head = format!("@binding({binding}) var<storage, ");
        let from = text.find(&head)? + head.len();
        let to = from + text[from..].find(';')?;
        let (access, rest) = text[from..to].split_once('>')?;
        let (name, elements) = rest.split_once(':')?;
        let elements = elements.trim().strip_prefix("array<")?.strip_suffix('>')?;
        let four = match resolve(text, elements)? {
            "vec4<f32>" => true,
            "f32" => false,
            _ => return None,
        };
        let writes = access == "read_write";
        // Two single halves share a word, which two threads may not write.
        if writes && !four {
            return None;
        }
        Some(Declaration { from, to, name: name.trim().to_owned(), writes, four })
    }

    fn replace(&self, text: &str) -> String {
        let Declaration { from, to, name, writes, four } = self;
        let (access, words) =
            (if *writes { "read_write" } else { "read" }, if *four { "vec2<u32>" } else { "u32" });
        let mut out = reached(&text[..*from], name);
        let _ = write!(out, "{access}> {name}: array<{words}>");
        out.push_str(&reached(&text[*to..], name));
        out.push_str(&match (writes, four) {
            (false, true) => format!(
                "fn load_{name}(i: u32) -> vec4<f32> {{ let w = {name}[i]; return vec4(unpack2x16float(w.x), unpack2x16float(w.y)); }}\n"
            ),
            (false, false) => format!(
                "fn load_{name}(i: u32) -> f32 {{ let w = unpack2x16float({name}[i >> 1u]); return select(w.x, w.y, (i & 1u) == 1u); }}\n"
            ),
            (true, _) => format!(
                "fn store_{name}(i: u32, v: vec4<f32>) {{ {name}[i] = vec2(halves(v.xy), halves(v.zw)); }}\n"
            ),
        });
        out
    }
}

/// The type behind an alias.
fn resolve<'t>(text: &'t str, name: &'t str) -> Option<&'t str> {
    if name == "f32" || name == "vec4<f32>" {
        return Some(name);
    }
    let head = format!("alias {name} = ");
    let from = text.find(&head)? + head.len();
    let to = from + text[from..].find(';')?;
    resolve(text, text[from..to].trim())
}

/// `name[i]` as a call that loads, and `name[i] = x;` as one that stores.
fn reached(text: &str, name: &str) -> String {
    let mut out = String::with_capacity(text.len() + 256);
    let mut rest = text;
    loop {
        let Some((at, end)) = next_access(rest, name, out.chars().next_back()) else {
            out.push_str(rest);
            return out;
        };
        out.push_str(&rest[..at]);
        let index = reached(&rest[at + name.len() + 1..end], name);
        rest = &rest[end + 1..];
        let value = rest.trim_start().strip_prefix('=').filter(|value| !value.starts_with('='));
        match value.and_then(|value| value.split_once(';')) {
            Some((value, after)) => {
                let _ = write!(out, "store_{name}({index}, {});", reached(value.trim(), name));
                rest = after;
            }
            None => {
                let _ = write!(out, "load_{name}({index})");
            }
        }
    }
}

/// The next `name[..]` that is not part of a longer name: where it begins, and its closing bracket.
fn next_access(text: &str, name: &str, before: Option<char>) -> Option<(usize, usize)> {
    let mut from = 0;
    loop {
        let at = from + text[from..].find(name)?;
        let last = text[..at].chars().next_back().or(before);
        let own = last.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != '.');
        let end = at + name.len();
        if own && text[end..].starts_with('[') {
            let mut depth = 0;
            for (i, c) in text[end..].char_indices() {
                match c {
                    '[' => depth += 1,
                    ']' => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    return Some((at, end + i));
                }
            }
            return None;
        }
        from = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accesses_become_calls() {
        let text = "alias elem = vec4<f32>;\n@group(0) @binding(1) var<storage, read> a: array<f32>;\n\
                    @group(0) @binding(2) var<storage, read_write> y: array<elem>;\n\
                    y[o + b[0]] = elem(a[a2[i] + 1u], p.a[3], ya[0], a[2]).x; if (a[i] == 1.0) {}\n";
        let made = in_halves(text.to_owned(), &[1, 2]).unwrap();
        assert!(made.contains("var<storage, read> a: array<u32>;"), "{made}");
        assert!(made.contains("var<storage, read_write> y: array<vec2<u32>>;"), "{made}");
        let store = "store_y(o + b[0], elem(load_a(a2[i] + 1u), p.a[3], ya[0], load_a(2)).x);";
        assert!(made.contains(store), "{made}");
        assert!(made.contains("if (load_a(i) == 1.0)"), "{made}");
        assert!(in_halves(text.to_owned(), &[3]).is_err());
        let single = text.replace("vec4<f32>", "f32");
        assert!(in_halves(single, &[2]).is_err(), "two threads would write one word");
    }
}
