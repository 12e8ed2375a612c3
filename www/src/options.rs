//! The settings, as members of a JavaScript object.

use js_sys::{Array, Object, Reflect};
use mcp_run_python::settings::{Config, Home, check_names};
use wasm_bindgen::{JsCast, JsValue};

use crate::PLATFORM;

/// Reads the settings.
///
/// # Errors
/// Names the setting that is wrong, and what it may be; or one that is unknown.
pub fn read(options: &JsValue) -> Result<Config, String> {
    let members = options.dyn_ref::<Object>().map(Object::keys).unwrap_or_default();
    let names: Vec<_> = members.iter().filter_map(|member| member.as_string()).map(|name| upper_case(&name)).collect();
    check_names(Home::Page, names.iter().map(String::as_str))
        .map_err(|why| format!("{why} (in JavaScript as `returnMode`)"))?;
    let given = |name: &str| text(&Reflect::get(options, &camel_case(name).as_str().into()).ok()?);
    Config::read(Home::Page, &given, PLATFORM)
}

/// `RETURN_MODE` as `returnMode`.
fn camel_case(name: &str) -> String {
    let mut words = name.split('_').map(str::to_lowercase);
    let first = words.next().unwrap_or_default();
    words.fold(first, |name, word| {
        let (initial, rest) = word.split_at_checked(1).unwrap_or_default();
        name + &initial.to_uppercase() + rest
    })
}

/// `returnMode` as `RETURN_MODE`: how settings are written everywhere but in JavaScript.
fn upper_case(member: &str) -> String {
    member.chars().fold(String::new(), |mut name, letter| {
        if letter.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
        name
    })
}

/// A value as the setting's text; a list as its items with commas between them.
fn text(value: &JsValue) -> Option<String> {
    if value.is_undefined() || value.is_null() {
        return None;
    }
    if let Some(list) = value.dyn_ref::<Array>() {
        return Some(list.join(",").into());
    }
    value
        .as_string()
        .or_else(|| value.as_f64().map(|n| n.to_string()))
        .or_else(|| value.as_bool().map(|b| b.to_string()))
}
