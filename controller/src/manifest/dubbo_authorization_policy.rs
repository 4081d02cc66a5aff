//! `DubboAuthorizationPolicy`, which is not in force yet: its table is there for its CRD.

use super::shape::{Described, Shape, Takes};

pub(crate) static DUBBO_AUTHORIZATION_POLICY: Shape = Shape {
    name: "DubboAuthorizationPolicy",
    meaning: "Not in force yet.",
    given: "",
    instead: &[],
    fields: &[
        Described::new(
            "rules",
            Takes::List(&Takes::Mapping(&RULE)),
            "which requests it is about: those of any of these",
        ),
        Described::new(
            "action",
            Takes::OneOf(&["ALLOW", "DENY"]),
            "what becomes of them",
        )
        .absent("`ALLOW`"),
    ],
};

static RULE: Shape = Shape {
    name: "DubboRule",
    meaning: "",
    given: "",
    instead: &[],
    fields: &[
        Described::new(
            "from",
            Takes::List(&Takes::Mapping(&FROM)),
            "who sends them: any of these",
        ),
        Described::new(
            "to",
            Takes::List(&Takes::Mapping(&TO)),
            "what they ask for: any of these",
        ),
    ],
};

static FROM: Shape = Shape {
    name: "DubboFrom",
    meaning: "",
    given: "",
    instead: &[],
    fields: &[Described::new(
        "source",
        Takes::Mapping(&SOURCE),
        "all that is given has to hold",
    )],
};

static TO: Shape = Shape {
    name: "DubboTo",
    meaning: "",
    given: "",
    instead: &[],
    fields: &[Described::new(
        "operation",
        Takes::Mapping(&OPERATION),
        "all that is given has to hold",
    )],
};

static SOURCE: Shape = Shape {
    name: "DubboSource",
    meaning: "",
    given: "",
    instead: &[],
    fields: &[
        Described::new("principals", TEXTS, "identities, of which it has one"),
        Described::new("notPrincipals", TEXTS, "of which it has none"),
        Described::new("namespaces", TEXTS, "namespaces, of which it is in one"),
        Described::new("notNamespaces", TEXTS, "of which it is in none"),
    ],
};

static OPERATION: Shape = Shape {
    name: "DubboOperation",
    meaning: "",
    given: "",
    instead: &[],
    fields: &[
        Described::new("interfaces", TEXTS, "interfaces, of which it asks for one"),
        Described::new("notInterfaces", TEXTS, "of which it asks for none"),
        Described::new("methods", TEXTS, "methods, of which it asks for one"),
        Described::new("notMethods", TEXTS, "of which it asks for none"),
    ],
};

const TEXTS: Takes = Takes::List(&Takes::Text);
