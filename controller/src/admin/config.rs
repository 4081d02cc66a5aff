//! What a proxy was told, resource by resource.

use serde_json::{Value, json};

use super::shown;
use crate::ads::{ClientSnapshot, Published};
use crate::debug::ResourceType;

/// With the newest content where it is the same for all proxies.
pub(super) fn of(client: &ClientSnapshot, published: Option<&Published>) -> Value {
    let resources = client.resources.iter().map(|((type_url, name), held)| {
        let refused = held.refused.as_ref().map(|version| {
            let reason = client
                .rejections
                .iter()
                .find(|rejection| (&rejection.type_url, &rejection.name) == (type_url, name));
            json!({ "version": **version, "reason": reason.map(|it| &it.reason) })
        });
        let newest = published.and_then(|published| published.get(type_url, name));
        json!({
            "type": ResourceType::of(type_url).map_or_else(|| json!(type_url), |it| json!(it)),
            "name": name,
            "acknowledged": held.acknowledged.as_deref(),
            "sent": held.sent.as_deref(),
            "refused": refused,
            "newest": newest.map(|resource| &*resource.version),
            "resource": newest.map(|resource| shown::resource(&resource.body)),
        })
    });
    json!({ "proxy": client.node, "resources": resources.collect::<Vec<_>>() })
}
