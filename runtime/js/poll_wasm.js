// The function that CPython calls to poll for signals. It is WebAssembly, as only a direct call from wasm can suspend. The
// suspending import `turn` is called only to suspend: outside of a promising call it is an error even if it would not
// suspend. If there is a JavaScript frame between that call and this one, `turn` throws after it was called; `back` notices
// that no turn took place. `back` is called on the resumed stack, before anything else can run:
//
//     (import "e" "poll" (func $poll (result i32)))
//     (import "e" "turn" (func $turn (result i32)))
//     (import "e" "back" (func $back (result i32)))
//     (func (export "poll") (result i32) (local i32)
//       (if (result i32) (i32.eq (local.tee 0 (call $poll)) (i32.const -1))
//         (then (try (do (drop (call $turn))) (catch_all)) (call $back))
//         (else (local.get 0))))
const HEX =
  '0061736d010000000105016000017f021c03016504706f6c6c00000165047475726e00000165' +
  '046261636b00000302010007080104706f6c6c00030a1c011a01017f10002200417f46047f064010011a190b10020520000b0b';

export const POLL_WASM = Uint8Array.from(HEX.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
