//! A panic is a bug of ours, and is said to be one, in a line.

use super::output::Output;

/// Says so instead of what Rust says.
pub(crate) fn install() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        // preflate panics over streams that it does not understand; the library catches it and keeps them raw.
        if place.contains("preflate-rs-") {
            return;
        }
        let payload = panic.payload();
        let said = payload.downcast_ref::<&str>().copied();
        let said = said.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no reason given");
        Output::new(false, true, false).to_stderr(&format!(
            "snap: this is a bug in snap {}, please report it: {said} ({place})",
            env!("CARGO_PKG_VERSION")
        ));
    }));
}
