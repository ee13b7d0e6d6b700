//! Cases of the HTTP server's addresses and TLS.

use super::*;

const TLS: &str = "[tls]\ncertificate = \"c\"\nkey = \"k\"\n";
const CLIENT_CA: &str = "client_ca = \"a\"\n";

#[test]
fn addresses_are_one_text_or_a_list() {
    for (written, expected) in [
        ("\"127.0.0.1:5000\"", "127.0.0.1:5000"),
        ("\"127.0.0.1:5000, [::1]:5000\"", "127.0.0.1:5000 [::1]:5000"),
        ("[\"127.8.8.8:0\", \"[::ffff:127.0.0.1]:1\"]", "127.8.8.8:0 [::ffff:127.0.0.1]:1"),
    ] {
        let listen = from_file(&format!("listen = {written}")).expect(written).network.listen;
        let listen: Vec<String> = listen.iter().map(ToString::to_string).collect();
        assert_eq!(listen.join(" "), expected);
    }
    for (wrong, why) in [
        ("\"\"", "an empty list"),
        ("[]", "an empty list"),
        ("\"5000\"", "such as 127.0.0.1:5000"),
        ("\"localhost:5000\"", "such as 127.0.0.1:5000"),
        ("\"127.0.0.1\"", "such as 127.0.0.1:5000"),
        ("\"127.0.0.1:65536\"", "such as 127.0.0.1:5000"),
        ("[\"127.0.0.1:1\", \"127.0.0.1:1\"]", "twice"),
        ("[\"0.0.0.0:1\", \"[::]:1\"]", "leave 0.0.0.0:1 out"),
        ("[\"127.0.0.1:1\", 2]", "a list with something that is no text"),
        ("true", "is neither a text in quotes nor a whole number"),
    ] {
        let faults = lines(from_file(&format!("listen = {wrong}")));
        assert!(faults.len() == 1 && faults[0].contains(why), "{wrong}: {faults:?}");
    }
}

#[test]
fn an_address_that_others_reach_needs_tls_and_a_credential_or_consent() {
    for open in ["0.0.0.0:5000", "[::]:5000", "10.0.0.7:5000", "[::ffff:10.0.0.7]:5000"] {
        let listen = format!("listen = [\"127.0.0.1:5000\", \"{open}\"]\n");
        let faults = lines(from_file(&listen));
        let parts = ["coordinator.toml:listen", open, "without TLS", "tls.client_ca", "--insecure-network"];
        assert!(faults.len() == 1 && parts.iter().all(|part| faults[0].contains(part)), "{faults:?}");
        let faults = lines(from_file(&format!("{listen}{TLS}")));
        assert!(faults.len() == 1 && faults[0].contains("without a credential"), "{faults:?}");
        from_file(&format!("{listen}{TLS}{CLIENT_CA}")).expect("protected");
        from_file(&format!("{listen}insecure_network = true")).expect("accepted by name");
        assert_eq!(lines(from_file(&format!("{listen}insecure_network = false"))).len(), 1);
    }
    from_file(&format!("listen = \"127.0.0.1:5000\"\n{TLS}")).expect("no other host reaches it");
}

#[test]
fn files_of_tls_belong_together() {
    for (file, why) in [
        ("[tls]\ncertificate = \"c\"", "needs tls.key"),
        ("[tls]\nkey = \"k\"", "needs tls.certificate"),
        ("[tls]\nclient_ca = \"a\"", "has no effect without tls.certificate"),
        ("[tls]\ncertificate = \"\"\nkey = \"k\"", "not the path of a file"),
    ] {
        let faults = lines(from_file(file));
        assert!(faults.len() == 1 && faults[0].contains(why), "{file}: {faults:?}");
    }
    let key = "-----BEGIN PRIVATE KEY-----canary";
    let faults = lines(from_file(&format!("[tls]\ncertificate = \"c\"\nkey = \"{key}\"")));
    assert!(faults.len() == 1 && !faults[0].contains(CANARY), "{faults:?}");
}

#[test]
fn an_advertised_address_has_a_host_and_nothing_else() {
    let advertised = |text: &str| from_file(&format!("advertise = \"{text}\""));
    for (text, shown, host) in [
        ("https://desk-1.example.com:5000", "https://desk-1.example.com:5000", "desk-1.example.com"),
        ("http://10.0.0.7/", "http://10.0.0.7", "10.0.0.7"),
        ("https://[2001:db8::7]:443", "https://[2001:db8::7]:443", "2001:db8::7"),
    ] {
        let url = advertised(text).expect(text).network.advertise.expect("written");
        assert_eq!((url.to_string().as_str(), url.host()), (shown, host));
    }
    for wrong in [
        "",
        "desk-1:5000",
        "ftp://h",
        "https://",
        "https://:1",
        "https://h:0",
        "https://h:65536",
        "https://h:x",
        "https://h/path",
        "https://h?x",
        "https://user:canary@h",
        "https://[::1",
        "https://[h]:1",
        "https://::1:1",
        "https://h\\r\\nX: y",
        "https://0.0.0.0:1",
        "https://[::]",
    ] {
        let faults = lines(advertised(wrong));
        assert!(faults.len() == 1 && !faults[0].contains(CANARY), "{wrong}: {faults:?}");
    }
}

#[test]
fn allowed_hosts_are_names_without_ports() {
    let hosts = |text: &str| from_file(&format!("allowed_hosts = {text}"));
    let read = hosts("[\"Desk.example.com\", \"10.0.0.9\", \"[::1]\"]").expect("sound").network.allowed_hosts;
    assert_eq!(read, ["desk.example.com", "10.0.0.9", "::1"]);
    assert!(hosts("[]").expect("none").network.allowed_hosts.is_empty());
    for wrong in ["\"desk:5000\"", "\"https://desk\"", "\"*\"", "\"a b\"", "\"desk,\""] {
        let faults = lines(hosts(wrong));
        assert!(faults.len() == 1 && faults[0].contains("not a host name"), "{wrong}: {faults:?}");
    }
}
