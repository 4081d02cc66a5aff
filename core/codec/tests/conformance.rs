//! The conformance kit over its own two protocols, which keep every rule, and over variants of
//! them that break one each, which it has to notice.

#[path = "conformance/broken.rs"]
mod broken;
#[path = "conformance/corpora.rs"]
mod corpora;
#[path = "conformance/flawed.rs"]
mod flawed;
#[path = "conformance/wide.rs"]
mod wide;

mod by_id {
    use super::corpora;
    use meltemi_codec::kit::sample::ById;

    meltemi_codec::conformance!(ById, corpora::by_id());
}

mod in_order {
    use super::corpora;
    use meltemi_codec::kit::sample::InOrder;

    meltemi_codec::conformance!(InOrder, corpora::in_order());
}
