//! The kit's rules over frames recorded between real peers, callbacks, and calls of some size.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    reason = "a test fails by panicking, and does not use all that it shares"
)]

#[path = "support/golden.rs"]
mod golden;

use dubbo_rs_codec::{
    BodyFormat,
    encode::{Call, Returned, write_request, write_result},
};
use meltemi_codec::kit::{Corpus, Sample};

meltemi_codec::conformance!(meltemi_dubbo::protocol(), corpus());

/// What no recording holds: a callback both ways, and a call that does not fit into its head.
fn corpus() -> Corpus {
    let mut corpus = golden::corpus();
    for format in [BodyFormat::Hessian2, BodyFormat::Fastjson2] {
        corpus = corpus
            .request(subscribe(format).knows("method", "subscribe"))
            .request(callback_answer(format))
            .request(large(format).knows("interface", "demo.Store"))
            .response(callback(format))
            .response(large_answer(format));
    }
    corpus
}

fn subscribe(format: BodyFormat) -> Sample {
    let call = Call {
        path: "demo.Feed",
        version: "0.0.0",
        method: "subscribe",
        arguments: &["listener"],
        attachments: &[("sys_callback_arg-0", "1812"), ("timeout", "500")],
    };
    request("subscribe", format, true, &call)
}

fn callback(format: BodyFormat) -> Sample {
    let call = Call {
        path: "demo.Listener",
        version: "",
        method: "changed",
        arguments: &["news"],
        attachments: &[("callback.service.instid", "1812")],
    };
    request("callback", format, true, &call)
}

fn callback_answer(format: BodyFormat) -> Sample {
    let mut bytes = Vec::new();
    write_result(format, 3, Returned::Null, &[], &mut bytes);
    Sample::new(format!("callback-answer-{format:?}"), bytes)
}

fn large(format: BodyFormat) -> Sample {
    let value = "größer ".repeat(4000);
    let call = Call {
        path: "demo.Store",
        version: "1.0.0",
        method: "put",
        arguments: &["key", &value],
        attachments: &[("interface", "demo.Store"), ("group", "blue")],
    };
    request("large", format, true, &call)
}

fn large_answer(format: BodyFormat) -> Sample {
    let mut bytes = Vec::new();
    let value = "value ".repeat(4000);
    write_result(format, 3, Returned::Text(&value), &[("a", "b")], &mut bytes);
    Sample::new(format!("large-answer-{format:?}"), bytes).answers(&format!("large-{format:?}"))
}

fn request(name: &str, format: BodyFormat, two_way: bool, call: &Call<'_>) -> Sample {
    let mut bytes = Vec::new();
    write_request(format, 7, two_way, call, &mut bytes);
    Sample::new(format!("{name}-{format:?}"), bytes)
}
