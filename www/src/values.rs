//! Converts values between Python and JavaScript. A `number` holds integers up to 2^53 only: larger ones are `bigint`.

use js_sys::{Array, BigInt, JSON, Object};
use serde_json::Value;
use uuid::Uuid;
use wasm_bindgen::prelude::*;

/// `Number.MAX_SAFE_INTEGER`
const MAX_SAFE: u64 = (1 << 53) - 1;

/// Digits of the longest `bigint`: parsing takes time by the square of the length, and Firefox has none over 315,652.
const MAX_DIGITS: usize = 100_000;

#[wasm_bindgen(inline_js = "
export function stringify(value, mark) {
    // `this[key]`: a page or a program may have given BigInt a `toJSON`.
    return JSON.stringify(value, function (key, given) {
        const own = this[key];
        return typeof own === 'bigint' ? mark + own + mark : given;
    });
}")]
extern "C" {
    /// `JSON.stringify`, with each `bigint` as a string between marks.
    #[wasm_bindgen(catch)]
    fn stringify(value: &JsValue, mark: &str) -> Result<JsValue, JsValue>;
}

/// The JSON of an object, as `JSON.stringify` writes it; a `bigint` is an integer.
///
/// # Errors
/// What `JSON.stringify` throws.
pub fn to_json(object: &JsValue) -> Result<String, JsValue> {
    // Random, so that nothing in the object looks like it.
    let mark = Uuid::new_v4().to_string();
    let text = stringify(object, &mark)?.as_string().unwrap_or_default();
    Ok(match text.contains(&mark) {
        true => text.replace(&format!("\"{mark}"), "").replace(&format!("{mark}\""), ""),
        false => text,
    })
}

/// A value of Python's. With `exact`, every integer is a `bigint`, otherwise those that no `number` holds exactly.
///
/// # Errors
/// None in practice: JavaScript can parse all JSON of ours.
pub fn to_js(value: &Value, exact: bool) -> Result<JsValue, JsValue> {
    match has_bigint(value, exact) {
        true => built(value, exact),
        false => JSON::parse(&value.to_string()),
    }
}

fn has_bigint(value: &Value, exact: bool) -> bool {
    match value {
        Value::Number(number) => is_bigint(number.as_str(), exact),
        Value::Array(items) => items.iter().any(|item| has_bigint(item, exact)),
        Value::Object(members) => members.values().any(|member| has_bigint(member, exact)),
        _ => false,
    }
}

fn built(value: &Value, exact: bool) -> Result<JsValue, JsValue> {
    Ok(match value {
        Value::Null => JsValue::NULL,
        Value::Bool(value) => (*value).into(),
        Value::String(text) => text.into(),
        Value::Number(number) if is_bigint(number.as_str(), exact) => bigint(number.as_str())?,
        Value::Number(number) => number.as_str().parse::<f64>().unwrap_or(f64::NAN).into(),
        Value::Array(items) => items.iter().map(|item| built(item, exact)).collect::<Result<Array, _>>()?.into(),
        // Not by setting members one by one: `__proto__` is a name like any other.
        Value::Object(members) => {
            let member = |(name, member): (&String, &Value)| Ok(Array::of2(&name.into(), &built(member, exact)?));
            Object::from_entries(&members.iter().map(member).collect::<Result<Array, JsValue>>()?.into())?.into()
        }
    })
}

fn is_bigint(number: &str, exact: bool) -> bool {
    // Python writes a float with a point or an exponent.
    let is_float = number.contains(['.', 'e', 'E']);
    !is_float && (exact || number.parse::<i64>().map_or(true, |number| number.unsigned_abs() > MAX_SAFE))
}

fn bigint(digits: &str) -> Result<JsValue, JsValue> {
    if let Ok(small) = digits.parse::<i64>() {
        return Ok(small.into());
    }
    if digits.len() > MAX_DIGITS {
        return Ok(digits.into());
    }
    Ok(BigInt::new(&digits.into())?.into())
}
