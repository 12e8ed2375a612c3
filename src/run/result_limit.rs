//! Cuts an outcome for a model: text costs it money, and displaces the rest of its context.

use serde_json::Value;

use super::{
    Ending, Outcome, Returned,
    display::{Displayed, READABLE},
    result::{ReturnMode, structured, text},
};

/// The setting of the limit, named in the note to the model.
const SETTING: &str = "RESULT_LIMIT_KB";

/// Most steps to make a result fit whose letters take more room than was estimated.
const MAX_STEPS: usize = 16;

/// Most bytes that a byte of an outcome takes in a result: it is there twice, in the text and in the structured
/// content, and an escape has six.
const WORST: usize = 12;

/// Room for the rest of a result.
const OVERHEAD: usize = 1024;

/// Cuts output, value and error of an outcome, and what it displayed, so that its text and its structured content have
/// at most `limit` bytes together. The beginning and the end of each are kept, with a note of how much is missing, and
/// of the URI in `whole`, if there is one. What was displayed may have half of the limit: parts that no model reads go
/// first. Returns what was cut.
pub fn shorten(outcome: &mut Outcome, mode: ReturnMode, limit: usize, whole: &Whole) -> Cut {
    let before = (bytes_of(&outcome.output), ending_bytes(&outcome.ending));
    shorten_to(outcome, mode, limit, whole);
    let after = (bytes_of(&outcome.output), ending_bytes(&outcome.ending));
    Cut { output: before.0 != after.0, ending: before.1 != after.1 }
}

/// The URIs at which all of what was cut can be read.
#[derive(Debug, Default)]
pub struct Whole {
    /// The output.
    pub output: Option<String>,
    /// The value or the error.
    pub ending: Option<String>,
}

/// Which parts were cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// The output.
    pub output: bool,
    /// The value or the error.
    pub ending: bool,
}

/// Whether nothing is cut.
#[must_use]
pub fn fits(outcome: &Outcome, mode: ReturnMode, limit: usize) -> bool {
    let all = bytes_of(&outcome.output).saturating_add(ending_bytes(&outcome.ending));
    // Most outcomes are small enough.
    let is_small = outcome.displayed.is_empty() && all.saturating_mul(WORST).saturating_add(OVERHEAD) <= limit;
    is_small || size(outcome, mode) <= limit
}

fn shorten_to(outcome: &mut Outcome, mode: ReturnMode, limit: usize, at: &Whole) {
    if fits(outcome, mode, limit) {
        return;
    }
    let (of_output, of_ending) = (bytes_of(&outcome.output), ending_bytes(&outcome.ending));
    let all = of_output.saturating_add(of_ending);
    let told = size(outcome, mode);
    let told = match display_within(&mut outcome.displayed, mode, limit / 2) {
        true => size(outcome, mode),
        false => told,
    };
    if told <= limit {
        return;
    }
    let rest = size(&Outcome { output: Vec::new(), ending: Ending::Success(Returned::None), ..outcome.clone() }, mode);
    let room = limit.saturating_sub(rest);
    // Each byte of it is taken to need as much of the result as all do on average. In 64 bits: wasm's `usize` has 32.
    let share = all as u64 * room as u64 / told.saturating_sub(rest).max(1) as u64;
    let mut left = usize::try_from(share).unwrap_or(all);
    let whole = outcome.clone();
    for _ in 0..MAX_STEPS {
        // Each may have half, and what the other leaves of its half.
        let for_ending = of_ending.min((left / 2).max(left.saturating_sub(of_output)));
        outcome.ending = ending_within(&whole.ending, for_ending, at);
        outcome.output = lines_within(&whole.output, left - for_ending.min(left), at);
        if left == 0 || size(outcome, mode) <= limit {
            return;
        }
        left = left * 3 / 4;
    }
    outcome.ending = ending_within(&whole.ending, 0, at);
    outcome.output = lines_within(&whole.output, 0, at);
}

fn size(outcome: &Outcome, mode: ReturnMode) -> usize {
    text(outcome, mode, None).len() + structured(outcome, None).to_string().len()
}

/// Leaves out parts of what was displayed until it takes at most `most` bytes of a result. Returns whether it did.
fn display_within(displayed: &mut Displayed, mode: ReturnMode, most: usize) -> bool {
    let told = |displayed: &Displayed| {
        let ending = Ending::Success(Returned::None);
        size(&Outcome { displayed: displayed.clone(), ..Outcome::without_files(Vec::new(), ending) }, mode)
    };
    let mut taken = told(displayed);
    if displayed.is_empty() || taken <= most {
        return false;
    }
    let unread = displayed.bundles.iter().enumerate().flat_map(|(at, bundle)| {
        let parts = bundle.iter().filter(|(kind, _)| !READABLE.contains(&kind.as_str()));
        parts.map(move |(kind, part)| (part.to_string().len(), at, kind.clone()))
    });
    let mut unread: Vec<_> = unread.collect();
    unread.sort_by_key(|(size, ..)| std::cmp::Reverse(*size));
    for (size, at, kind) in unread {
        if taken <= most {
            break;
        }
        if let Some(bundle) = displayed.bundles.get_mut(at) {
            bundle.shift_remove(&kind);
        }
        displayed.omitted += 1;
        taken = taken.saturating_sub(size);
    }
    let whole = displayed.clone();
    let mut left = most;
    for _ in 0..MAX_STEPS {
        if told(displayed) <= most {
            return true;
        }
        let each = left / whole.bundles.len().max(1);
        for (bundle, of_whole) in displayed.bundles.iter_mut().zip(&whole.bundles) {
            for (kind, part) in of_whole {
                if let Some(text) = part.as_str().filter(|text| text.len() > each && READABLE.contains(&kind.as_str()))
                {
                    bundle.insert(kind.clone(), Value::String(text_within(text, each, "display", None)));
                }
            }
        }
        left /= 2;
    }
    displayed.omitted += displayed.bundles.iter().map(serde_json::Map::len).sum::<usize>();
    displayed.bundles.clear();
    true
}

fn bytes_of(lines: &[String]) -> usize {
    lines.iter().map(|line| line.len() + 1).sum()
}

fn ending_bytes(ending: &Ending) -> usize {
    match ending {
        Ending::Success(Returned::None) => 0,
        Ending::Success(Returned::Text(text) | Returned::Json { text, .. }) => text.len(),
        Ending::RunError(text) | Ending::InstallError(text) => text.len(),
    }
}

/// The ending with a text of `most` bytes. A value that is cut becomes a text.
fn ending_within(ending: &Ending, most: usize, at: &Whole) -> Ending {
    let at = at.ending.as_deref();
    match ending {
        whole if ending_bytes(whole) <= most => whole.clone(),
        Ending::Success(Returned::None) => Ending::Success(Returned::None),
        Ending::Success(Returned::Text(text) | Returned::Json { text, .. }) => {
            Ending::Success(Returned::Text(text_within(text, most, "value", at)))
        }
        Ending::RunError(text) => Ending::RunError(text_within(text, most, "error", at)),
        Ending::InstallError(text) => Ending::InstallError(text_within(text, most, "error", at)),
    }
}

fn text_within(text: &str, most: usize, what: &str, at: Option<&str>) -> String {
    let (begin, end) = (head(text, most / 2), tail(text, most / 2));
    format!("{begin}\n{}\n{end}", note(what, text.len() - begin.len() - end.len(), at))
}

/// Lines of at most `most` bytes, from the beginning and the end, and a note between them. Lines next to it may be cut.
fn lines_within(lines: &[String], most: usize, at: &Whole) -> Vec<String> {
    let all = bytes_of(lines);
    if all <= most {
        return lines.to_vec();
    }
    let kept = |lines: &mut dyn Iterator<Item = &String>, part: fn(&str, usize) -> &str| {
        let (mut kept, mut left) = (Vec::new(), most / 2);
        for line in lines {
            let cut = part(line, left.saturating_sub(1));
            if !cut.is_empty() || (line.is_empty() && left > 0) {
                kept.push(cut.to_owned());
            }
            if cut.len() < line.len() || left == 0 {
                break;
            }
            left -= (line.len() + 1).min(left);
        }
        kept
    };
    let begin = kept(&mut lines.iter(), head);
    let mut end = kept(&mut lines.iter().rev(), tail);
    end.reverse();
    let missing = all.saturating_sub(bytes_of(&begin) + bytes_of(&end));
    begin.into_iter().chain([note("output", missing, at.output.as_deref())]).chain(end).collect()
}

/// `at`: the URI at which all of it can be read.
fn note(what: &str, missing: usize, at: Option<&str>) -> String {
    let all = at.map(|at| format!("; all of it: {at}")).unwrap_or_default();
    format!("[{what} cut: {missing} bytes left out here, by {SETTING}{all}]")
}

fn head(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

fn tail(text: &str, most: usize) -> &str {
    let start = (text.len().saturating_sub(most)..=text.len()).find(|&at| text.is_char_boundary(at));
    start.and_then(|start| text.get(start..)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LIMIT: usize = 64 * 1024;

    fn shortened(output: Vec<String>, ending: Ending, mode: ReturnMode) -> Outcome {
        let mut outcome = Outcome::without_files(output, ending);
        shorten(&mut outcome, mode, LIMIT, &Whole::default());
        outcome
    }

    fn numbered(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("line {n}")).collect()
    }

    #[test]
    fn a_result_that_fits_stays_as_it_is() {
        for mode in [ReturnMode::Xml, ReturnMode::Json] {
            let ending = || Ending::Success(Returned::Text("x".repeat(10_000)));
            let outcome = shortened(numbered(1000), ending(), mode);
            assert_eq!(outcome, Outcome::without_files(numbered(1000), ending()));
        }
    }

    #[test]
    fn of_output_that_is_too_long_the_beginning_and_the_end_are_kept() {
        let lines = numbered(20_000);
        let outcome = shortened(lines.clone(), Ending::Success(Returned::Text("result".into())), ReturnMode::Xml);
        let told = size(&outcome, ReturnMode::Xml);
        assert!(told <= LIMIT && told > LIMIT / 2, "{told}");
        assert_eq!(outcome.ending, Ending::Success(Returned::Text("result".into())));
        assert_eq!(outcome.output.first().unwrap(), "line 0");
        assert_eq!(outcome.output.last().unwrap(), "line 19999");
        let at = outcome.output.iter().position(|line| line.starts_with("[output cut: ")).unwrap();
        let missing = bytes_of(&lines) - bytes_of(&outcome.output[..at]) - bytes_of(&outcome.output[at + 1..]);
        assert_eq!(outcome.output[at], format!("[output cut: {missing} bytes left out here, by RESULT_LIMIT_KB]"));
    }

    #[test]
    fn whatever_it_is_made_of_it_fits() {
        let texts = ["x", "é", "\u{1}", "<output>", "\"", "\n", "😀"].map(|text| text.repeat(6000 / text.len()));
        for text in &texts {
            for mode in [ReturnMode::Xml, ReturnMode::Json] {
                for output in [vec![], vec![text.clone(); 2], vec![String::new(); 2000]] {
                    for ending in [
                        Ending::Success(Returned::None),
                        Ending::Success(Returned::Text(text.clone())),
                        Ending::RunError(text.clone()),
                    ] {
                        let mut outcome = Outcome::without_files(output.clone(), ending);
                        shorten(&mut outcome, mode, 4096, &Whole::default());
                        let told = size(&outcome, mode);
                        assert!(told <= 4096, "{told} of {:?}", text.chars().next());
                    }
                }
            }
        }
    }

    #[test]
    fn a_value_of_which_a_part_is_missing_is_a_text() {
        let numbers: Vec<usize> = (0..50_000).collect();
        let text = serde_json::to_string_pretty(&numbers).unwrap();
        let ending = Ending::Success(Returned::Json { text, value: json!(numbers) });
        let outcome = shortened(numbered(3), ending, ReturnMode::Xml);
        assert_eq!(outcome.output, numbered(3));
        let Ending::Success(Returned::Text(text)) = outcome.ending else { panic!("{:?}", outcome.ending) };
        assert!(text.starts_with("[\n  0,") && text.ends_with("49999\n]") && text.contains("\n[value cut: "), "{text}");
    }

    #[test]
    fn of_what_was_displayed_goes_first_what_no_model_reads() {
        let rows = "| 1 |\n".repeat(3000);
        let table = |markdown: &str, html: &str| {
            let parts = [("text/html", html), ("text/markdown", markdown)];
            parts.into_iter().map(|(kind, text)| (kind.to_owned(), json!(text))).collect()
        };
        for mode in [ReturnMode::Xml, ReturnMode::Json] {
            let mut outcome = Outcome::without_files(numbered(3), Ending::Success(Returned::Text("x".repeat(100))));
            outcome.displayed.bundles = vec![table("| 1 |", &"<b>".repeat(30_000)), table("| 2 |", "<i>")];
            let whole = outcome.clone();
            shorten(&mut outcome, mode, 1_000_000, &Whole::default());
            assert_eq!(outcome, whole);
            shorten(&mut outcome, mode, LIMIT, &Whole::default());
            assert_eq!(outcome.displayed.bundles[0], json!({ "text/markdown": "| 1 |" }).as_object().unwrap().clone());
            assert_eq!(outcome.displayed.bundles[1], whole.displayed.bundles[1]);
            assert_eq!((outcome.displayed.omitted, &outcome.output), (1, &whole.output));
            outcome.displayed.bundles = vec![table(&rows, ""); 60];
            shorten(&mut outcome, mode, LIMIT, &Whole::default());
            let told = size(&outcome, mode);
            assert!(told <= LIMIT, "{told}");
            let text = outcome.displayed.bundles[59]["text/markdown"].as_str().unwrap();
            assert!(text.starts_with("| 1 |") && text.contains("\n[display cut: "), "{text}");
            assert_eq!(outcome.output, whole.output);
            shorten(&mut outcome, mode, 1000, &Whole::default());
            assert!(outcome.displayed.bundles.is_empty(), "{:?}", outcome.displayed);
        }
    }

    #[test]
    fn what_is_cut_says_where_all_of_it_is() {
        let whole =
            Whole { output: Some("sandbox://x/output.txt".into()), ending: Some("sandbox://y/error.txt".into()) };
        let of = |lines: usize, error: usize| {
            let mut outcome = Outcome::without_files(numbered(lines), Ending::RunError("x".repeat(error)));
            let cut = shorten(&mut outcome, ReturnMode::Xml, 10_000, &whole);
            (text(&outcome, ReturnMode::Xml, None), cut)
        };
        let all = [
            "by RESULT_LIMIT_KB; all of it: sandbox://x/output.txt]",
            "by RESULT_LIMIT_KB; all of it: sandbox://y/error.txt]",
        ];
        for (lines, error, expected) in
            [(3, 3, [false, false]), (3000, 3, [true, false]), (3, 30_000, [false, true]), (3000, 30_000, [true, true])]
        {
            let (told, cut) = of(lines, error);
            assert_eq!([cut.output, cut.ending], expected);
            assert_eq!(all.map(|all| told.contains(all)), expected, "{told}");
        }
    }

    #[test]
    fn a_limit_that_nothing_fits_into_leaves_the_notes() {
        let mut outcome = Outcome::without_files(numbered(1000), Ending::RunError("x".repeat(10_000)));
        shorten(&mut outcome, ReturnMode::Xml, 1, &Whole::default());
        assert_eq!(outcome.output.len(), 1);
        assert!(size(&outcome, ReturnMode::Xml) < 1000);
    }
}
