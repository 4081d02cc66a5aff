use super::*;

#[test]
fn the_bounds_of_a_request_are_told() {
    let fixture = Fixture::valid();
    let pool = "    connectionPool: {tcp: {maxConnections: 10, maxConnectionDuration: 1h, idleTimeout: 10m}, \
                http: {http2MaxRequests: 20, http1MaxPendingRequests: 30, maxRequestsPerConnection: 40, \
                maxRetries: 5}}\n    outlierDetection";
    fixture.edit("rule.yaml", "    outlierDetection", pool);
    fixture.edit(
        "router.yaml",
        "  - name: hello",
        "  - name: hello\n    circuitBreaker: {maxRequests: 3}",
    );
    let asked = query("greeter.shop", &[("method", "sayHello")]);
    let explanation = explained(&fixture, &asked, "eu/a");
    let text = explanation.to_string();
    for line in [
        "at most 3 unanswered at a time",
        "its client is told to leave after 3600s",
        "its client is closed when silent for 600s",
        "at most 20 requests under way",
        "at most 30 requests that wait for a connection",
        "at most 10 connections, and one of each worker to each endpoint whatever there are",
        "at most 40 requests to a connection",
        "at most 5 requests under way that were sent again",
    ] {
        assert!(
            text.contains(&format!("\n          {line}")),
            "{line}: {text}"
        );
    }
    assert_eq!(explanation.treatment.max_requests, Some(3));
    assert_eq!(explanation.destinations[0].limits.len(), 5);
}
