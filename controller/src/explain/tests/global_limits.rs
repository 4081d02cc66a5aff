use super::*;

#[test]
fn what_a_service_is_asked_about_a_request_is_told() {
    let fixture = Fixture::valid();
    fixture.write(
        "ratelimit.yaml",
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: ratelimit}\n\
         spec:\n  hosts: [ratelimit.infra]\n  ports: [{number: 8081, name: grpc}]\n  \
         resolution: STATIC\n  endpoints: [{address: 10.0.9.1}]\n",
    );
    let limit = "  globalRateLimit:\n    match: {attributes: {method: {prefix: say}}}\n    \
                 domain: shop\n    rateLimitService: ratelimit.infra:8081\n    \
                 descriptors: [{property: method, descriptorKey: m}, {property: user, descriptorKey: u}]\n";
    fixture.edit("router.yaml", "  gateways:", &format!("{limit}  gateways:"));
    let of = |attributes: &[(&str, &str)]| {
        let asked = query("greeter.shop", attributes);
        explained(&fixture, &asked, "")
    };
    let text = of(&[("method", "sayHello"), ("user", "7")]).to_string();
    let line = "limited globally by MetaRouter default/greeter: outbound|8081||ratelimit.infra is \
                asked about m=sayHello, u=7 in shop; without a verdict in 0.02s it goes on";
    assert!(text.contains(&format!("\n          {line}\n")), "{text}");
    let text = of(&[("method", "sayHello")]).to_string();
    let line = "not limited globally by MetaRouter default/greeter: it has no user";
    assert!(text.contains(line), "{text}");
    let treatment = of(&[("method", "bye"), ("user", "7")]).treatment;
    assert_eq!(treatment.global_rate_limit, None);

    let elsewhere = limit.replace("ratelimit.infra", "nowhere.infra");
    let elsewhere = elsewhere.replace("domain:", "denyOnFail: true\n    domain:");
    fixture.edit("router.yaml", limit, &elsewhere);
    let text = of(&[("method", "sayHello"), ("user", "7")]).to_string();
    for part in ["nowhere.infra (there is no such cluster)", "it is refused"] {
        assert!(text.contains(part), "{text}");
    }
}
