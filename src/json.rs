//! Measures how much a JSON text will take once it is parsed, before it is.
//!
//! A parsed value takes up to fifty times the bytes of its text (`0,` is two of them), and the memory of a wasm module
//! never shrinks: parsing megabytes of hostile JSON could end the whole server.

/// The shape of a JSON text. For text that is not JSON, harmless numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// How deep its brackets nest at most.
    pub(crate) depth: usize,
    /// Upper bound of the number of its values, those in arrays and objects counted one by one.
    pub(crate) items: usize,
}

/// Measures a JSON text.
pub(crate) fn shape(text: &[u8]) -> Shape {
    let (mut depth, mut shape) = (0_usize, Shape { depth: 0, items: 1 });
    let (mut in_string, mut escaped) = (false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                shape.depth = shape.depth.max(depth);
                shape.items += 1;
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' => shape.items += 1,
            _ => {}
        }
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_and_commas_are_counted_outside_of_strings() {
        for (text, depth, items) in [
            ("1", 0, 1),
            ("[]", 1, 2),
            ("[1, 2]", 1, 3),
            (r#"["[[[\"[[", {"],,": []}]"#, 3, 5),
            ("]]]][", 1, 2),
            ("\"unfinished [[[", 0, 1),
        ] {
            assert_eq!(shape(text.as_bytes()), Shape { depth, items }, "{text}");
        }
    }
}
