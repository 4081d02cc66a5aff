package meltemi.peer;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.dubbo.config.MethodConfig;
import org.apache.dubbo.config.ReferenceConfig;
import org.apache.dubbo.rpc.service.GenericService;

/** A consumer's view of a service at fixed addresses. */
final class Reference {
    private final String addresses;
    private final Map<String, String> parameters = new HashMap<>();
    private String group;
    private String version;
    private int timeout = 20_000;
    private int retries;
    private boolean fireOneWay;

    /** {@code addresses}: {@code HOST:PORT}, several with commas. */
    Reference(String addresses) {
        this.addresses = addresses;
    }

    Reference of(String group, String version) {
        this.group = group;
        this.version = version;
        return this;
    }

    Reference timeout(int millis) {
        timeout = millis;
        return this;
    }

    Reference retries(int number) {
        retries = number;
        return this;
    }

    Reference with(String parameter, String value) {
        parameters.put(parameter, value);
        return this;
    }

    Reference fireOneWay() {
        fireOneWay = true;
        return this;
    }

    Probe probe() {
        return configuration().get();
    }

    /** What makes the {@link #probe}, and can end it. */
    ReferenceConfig<Probe> configuration() {
        return configuration(Probe.class);
    }

    <T> T to(Class<T> type) {
        return configuration(type).get();
    }

    GenericService generic(String type) {
        ReferenceConfig<GenericService> reference = new ReferenceConfig<>();
        reference.setInterface(type);
        reference.setGeneric("true");
        return settle(reference, type).get();
    }

    private <T> ReferenceConfig<T> configuration(Class<T> type) {
        ReferenceConfig<T> reference = new ReferenceConfig<>();
        reference.setInterface(type);
        return settle(reference, type.getName());
    }

    private <T> ReferenceConfig<T> settle(ReferenceConfig<T> reference, String path) {
        List<String> urls = new ArrayList<>();
        for (String address : addresses.split(",")) {
            StringBuilder url = new StringBuilder("dubbo://" + address + "/" + path + "?");
            parameters.forEach((name, value) -> url.append(name).append('=').append(value).append('&'));
            urls.add(url.substring(0, url.length() - 1));
        }
        reference.setUrl(String.join(";", urls));
        reference.setGroup(group);
        reference.setVersion(version);
        reference.setTimeout(timeout);
        reference.setRetries(retries);
        reference.setCheck(false);
        if (fireOneWay) {
            MethodConfig fire = new MethodConfig();
            fire.setName("fire");
            fire.setReturn(false);
            reference.setMethods(List.of(fire));
        }
        return reference;
    }
}
