//! Calls that are like the one before them: what is not read again is what it would have been.

use dubbo_rs_codec::{Kind, SerializationId, hessian2::write_string};
use meltemi_codec::{Alike, Downstream, FromClient, Memo, Request};
use proptest::prelude::*;

use crate::frames::{attribute, downstream, frame, from_client, whole};

const NAMES: [&str; 8] = [
    "interface",
    "method",
    "version",
    "group",
    "application",
    "serialization",
    "dubbo",
    "trace",
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Argument {
    None,
    /// Bytes that would be attachments somewhere else.
    Text(&'static str),
    /// It defines a class of one field.
    Object,
    /// What it calls is an argument.
    Generic(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Shape {
    path: &'static str,
    argument: Argument,
    attachments: &'static [(&'static str, &'static str)],
    /// An attachment is an object of the class that an argument has defined.
    refers: bool,
}

fn shape() -> impl Strategy<Value = Shape> {
    let argument = prop::sample::select(vec![
        Argument::None,
        Argument::Text("short"),
        Argument::Text(
            "H\u{5}group\u{4}blueZ, and longer than the thirty-one bytes of a short one",
        ),
        Argument::Object,
        Argument::Generic("hello"),
        Argument::Generic("goodbye"),
    ]);
    let attachments = prop::sample::select(vec![
        &[][..],
        &[("group", "blue"), ("timeout", "1000")],
        &[("group", "green"), ("timeout", "1000")],
        &[("timeout", "250"), ("interface", "demo.Other")],
        &[("sys_callback_arg-0", "1")],
        &[("trace", "1")],
    ]);
    let path = prop::sample::select(vec!["demo.Greeter", "demo.Other"]);
    (path, argument, attachments, prop::bool::weighted(0.1)).prop_map(
        |(path, argument, attachments, refers)| Shape {
            path,
            argument,
            attachments,
            refers,
        },
    )
}

fn bytes(shape: Shape) -> Vec<u8> {
    let (method, descriptor) = match shape.argument {
        Argument::None => ("hello", ""),
        Argument::Text(_) => ("hello", "Ljava/lang/String;"),
        Argument::Object => ("hello", "Ldemo/Pojo;"),
        Argument::Generic(_) => (
            "$invoke",
            "Ljava/lang/String;[Ljava/lang/String;[Ljava/lang/Object;",
        ),
    };
    let mut body = Vec::new();
    for text in ["2.0.2", shape.path, "0.0.0", method, descriptor] {
        write_string(&mut body, text);
    }
    match shape.argument {
        Argument::None => {}
        Argument::Text(text) => write_string(&mut body, text),
        // A class of one field, and one of its objects, whose field is 0.
        Argument::Object => body.extend_from_slice(b"C\x04Pojo\x91\x01n\x60\x90"),
        Argument::Generic(method) => {
            write_string(&mut body, method);
            body.extend_from_slice(b"NN");
        }
    }
    body.push(b'H');
    if shape.refers {
        body.extend_from_slice(b"\x03obj\x60\x90");
    }
    for (key, value) in shape.attachments {
        write_string(&mut body, key);
        write_string(&mut body, value);
    }
    body.push(b'Z');
    frame(Kind::Request, SerializationId::HESSIAN2, &body)
}

type Attributes = [Option<String>; 8];

fn attributes(codec: &dyn Downstream, bytes: &[u8], memo: &Memo) -> Attributes {
    NAMES.map(|name| attribute(codec, whole(bytes, memo), name))
}

/// All but what depends on the calls before.
fn facts(event: &FromClient) -> FromClient {
    match event {
        FromClient::Request(request) => FromClient::Request(Request {
            memo: Memo {
                words: [request.memo.words[0], 0, 0, 0],
                data: None,
            },
            alike: Alike::No,
            ..request.clone()
        }),
        FromClient::Refused {
            status, message, ..
        } => FromClient::Refused {
            request: Request::unary(0, Memo::default()),
            status: *status,
            message,
        },
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn a_call_means_the_same_whatever_was_before(shapes in prop::collection::vec(shape(), 1..12)) {
        let mut codec = downstream();
        let mut before: Option<(Shape, Attributes)> = None;
        for shape in shapes.into_iter().flat_map(|shape| [shape, shape]) {
            let bytes = bytes(shape);
            let (event, _) = from_client(&mut *codec, &bytes);
            let mut fresh = downstream();
            let (alone, _) = from_client(&mut *fresh, &bytes);
            prop_assert_eq!(facts(&event), facts(&alone));
            let (FromClient::Request(request), FromClient::Request(alone)) = (event, alone) else {
                continue;
            };
            let found = attributes(&*codec, &bytes, &request.memo);
            prop_assert_eq!(&found, &attributes(&*fresh, &bytes, &alone.memo));
            if request.alike == Alike::All {
                prop_assert_eq!(Some(&found), before.as_ref().map(|(_, found)| found));
            } else if let Some((last, _)) = &before
                && *last == shape
            {
                let looks_at_arguments = matches!(
                    shape.argument,
                    Argument::Object | Argument::Generic(_)
                );
                prop_assert!(looks_at_arguments, "{:?} is not taken for what it was", shape);
            }
            before = Some((shape, found));
        }
    }
}
