//! What Compose gets to read: parsed by a YAML parser, with its merges done.

use std::sync::Arc;

use coffee_core::{
    plan::{Placement, Topology},
    sales::{fused, sales_plan, staged},
};
use serde_json::{Value, json};

use super::*;
use crate::cluster::roster;

fn options(placement: &Placement, gateways: u16, clients: u16) -> ComposeOptions {
    let topology = Topology::new(Arc::new(sales_plan().unwrap().plan), placement).unwrap();
    let mut nodes = roster(&topology, gateways).unwrap();
    nodes.extend((0..3).map(|index| ClusterNode::Monitor { index }));
    ComposeOptions {
        program: "coffee".into(),
        name: "shop-1".into(),
        nodes,
        settings: vec![("COFFEE_KEEP".into(), "86400s".into()), ("COFFEE_SHARDS".into(), "3".into())],
        placement: ComposePlacement::BuiltIn("fused".into()),
        listen: ([127, 0, 0, 1], 9000).into(),
        clients,
        gateways: OwnSettings::default(),
        client: OwnSettings::default(),
        docker: false,
    }
}

fn parsed(options: &ComposeOptions) -> Value {
    serde_saphyr::from_str(&compose_file(options).unwrap()).unwrap()
}

fn names(of: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = of.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

#[test]
fn every_node_and_client_is_a_service() {
    let options = options(&staged().unwrap(), 2, 3);
    let file = parsed(&options);
    let mut expected: Vec<String> = options.nodes.iter().map(ClusterNode::name).collect();
    expected.extend(["rabbitmq", "client-0", "client-1", "client-2"].map(str::to_owned));
    expected.sort_unstable();
    assert_eq!(names(&file["services"]), expected);
}

#[test]
fn a_shard_keeps_its_state_in_a_volume_of_its_own() {
    let file = parsed(&options(&fused().unwrap(), 1, 0));
    let shard = &file["services"]["groups.1"];
    assert_eq!(shard["command"], json!(["node", "groups", "--shard", "1"]));
    assert_eq!(shard["volumes"], json!(["groups.1:/state"]));
    assert_eq!(shard["environment"]["COFFEE_KEEP"], "86400s");
    assert_eq!(shard["environment"]["COFFEE_SHARDS"], "3", "text, as Compose wants it");
    assert_eq!(shard["environment"]["COFFEE_PLACEMENT"], "fused");
    let volumes = [
        "gateway-0",
        "groups.0",
        "groups.1",
        "names.0",
        "names.1",
        "query-node",
        "rabbitmq",
        "results-node",
        "store-names.0",
        "tops.0",
    ];
    assert_eq!(names(&file["volumes"]), volumes);
}

#[test]
fn containers_may_do_little() {
    let file = parsed(&options(&fused().unwrap(), 1, 1));
    for (name, service) in file["services"].as_object().unwrap().iter().filter(|(name, _)| *name != "rabbitmq") {
        assert_eq!((&service["read_only"], &service["cap_drop"]), (&json!(true), &json!(["ALL"])), "{name}");
        assert_eq!(service["restart"] == "unless-stopped", name != "client-0", "{name}");
        assert_eq!(service["init"] == true, name != "client-0", "{name}");
    }
}

#[test]
fn gateways_are_published_and_wait_for_broker_and_query_node() {
    let options = options(&fused().unwrap(), 2, 1);
    let file = parsed(&options);
    let gateway = &file["services"]["gateway-1"];
    assert_eq!(gateway["ports"], json!(["127.0.0.1:9001:9000"]));
    assert_eq!(gateway["environment"]["COFFEE_LISTEN"], "0.0.0.0:9000");
    assert_eq!(gateway["environment"]["COFFEE_PLACEMENT"], "fused");
    assert_eq!(names(&gateway["depends_on"]), ["query-node", "rabbitmq"]);
    let client = &file["services"]["client-0"];
    assert_eq!(client["command"][3], "gateway-0:9000,gateway-1:9000");
    assert_eq!(names(&client["depends_on"]), ["gateway-0", "gateway-1"]);
    assert_eq!(client["profiles"], json!(["clients"]));
}

#[test]
fn all_nodes_know_the_monitors_and_these_need_nobody() {
    let mut options = options(&fused().unwrap(), 1, 0);
    let file = parsed(&options);
    for node in ["monitor-2", "groups.1", "gateway-0"] {
        let environment = &file["services"][node]["environment"];
        assert_eq!(environment["COFFEE_MONITORS"], "monitor-0:9100,monitor-1:9100,monitor-2:9100", "{node}");
        assert!(environment["COFFEE_MONITOR_KEY"].as_str().unwrap().starts_with("${COFFEE_MONITOR_KEY:?"), "{node}");
    }
    let monitor = &file["services"]["monitor-2"];
    assert_eq!(monitor["command"], json!(["monitor", "--index", "2"]));
    assert_eq!((&monitor["depends_on"], &monitor["volumes"]), (&json!({}), &json!(null)));
    options.docker = true;
    let monitor = &parsed(&options)["services"]["monitor-2"];
    assert_eq!(monitor["command"], json!(["monitor", "--index", "2", "--docker"]));
    assert_eq!(monitor["volumes"], json!(["/var/run/docker.sock:/var/run/docker.sock"]));
    assert_eq!(parsed(&options)["services"]["groups.1"]["volumes"], json!(["groups.1:/state"]));
}

#[test]
fn secrets_come_from_the_environment_and_have_no_default() {
    let file = parsed(&options(&fused().unwrap(), 1, 0));
    let broker = file["services"]["names.0"]["environment"]["COFFEE_BROKER"].as_str().unwrap();
    assert!(broker.contains("${COFFEE_BROKER_PASSWORD:?") && broker.ends_with("@rabbitmq/coffee"), "{broker}");
    let password = file["services"]["rabbitmq"]["environment"]["RABBITMQ_DEFAULT_PASS"].as_str().unwrap();
    assert!(password.starts_with("${COFFEE_BROKER_PASSWORD:?"), "{password}");
}

#[test]
fn the_brokers_user_may_use_what_the_cluster_has_and_administers_nothing() {
    let mut options = options(&fused().unwrap(), 1, 0);
    let broker = &parsed(&options)["services"]["rabbitmq"]["environment"];
    assert_eq!(broker["RABBITMQ_DEFAULT_VHOST"], "coffee");
    let own = "(shop-1[.]|coffee[.]gen-)";
    let expected = format!(
        "-rabbit default_user_tags [] -rabbit default_permissions \
         [<<\"^{own}\">>,<<\"^({own}|amq[.]default$$)\">>,<<\"^{own}\">>]"
    );
    assert_eq!(broker["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"], expected);
    for name in ["", "a b", "a.*", "\u{e9}", "a'"] {
        options.name = name.into();
        assert_eq!(compose_file(&options), Err(ComposeError::Name), "{name:?}");
    }
}

#[test]
fn gateways_and_clients_are_told_of_files_that_only_they_get() {
    let mut options = options(&fused().unwrap(), 1, 1);
    options.gateways.files = vec![("COFFEE_TLS_KEY".into(), "gateway.key".into())];
    options.client.files = vec![("COFFEE_TLS_AUTHORITY".into(), "/ca.pem".into())];
    options.client.values = vec![("COFFEE_TLS".into(), "true".into())];
    let file = parsed(&options);
    let (gateway, client) = (&file["services"]["gateway-0"], &file["services"]["client-0"]);
    let mount =
        |source: &str, target: &str| json!({"type": "bind", "source": source, "target": target, "read_only": true});
    assert_eq!(gateway["environment"]["COFFEE_TLS_KEY"], "/etc/coffee/tls-key");
    assert_eq!(gateway["environment"]["COFFEE_LISTEN"], "0.0.0.0:9000");
    assert_eq!(gateway["volumes"], json!(["gateway-0:/state", mount("./gateway.key", "/etc/coffee/tls-key")]));
    assert_eq!(
        client["environment"],
        json!({"COFFEE_TLS": "true", "COFFEE_TLS_AUTHORITY": "/etc/coffee/tls-authority"})
    );
    assert_eq!(client["volumes"][2], mount("/ca.pem", "/etc/coffee/tls-authority"));
    let others = serde_json::to_string(&file["services"]["names.0"]).unwrap();
    assert!(!others.contains("tls"), "{others}");
}

#[test]
fn a_placement_file_is_mounted_whatever_its_name() {
    let mut options = options(&fused().unwrap(), 1, 0);
    options.placement = ComposePlacement::File("my $: placement.toml".into());
    let file = parsed(&options);
    let mount = json!({
        "type": "bind", "source": "./my $$: placement.toml", "target": "/etc/coffee/placement", "read_only": true,
    });
    assert_eq!(file["services"]["names.0"]["volumes"], json!(["names.0:/state", mount]));
    assert_eq!(file["services"]["gateway-0"]["volumes"], json!(["gateway-0:/state", mount]));
    assert_eq!(file["services"]["gateway-0"]["environment"]["COFFEE_PLACEMENT"], "/etc/coffee/placement");
}

#[test]
fn images_are_the_programs_and_clients_are_left_out_where_there_are_none() {
    let mut options = options(&fused().unwrap(), 1, 0);
    options.program = "Visits".into();
    let text = compose_file(&options).unwrap();
    assert!(text.contains("`Visits compose`") && text.contains("run --rm visits compose"), "{text}");
    assert!(!text.contains("client") && !text.contains("{program}") && !text.contains("`coffee"), "{text}");
    assert_eq!(parsed(&options)["services"]["names.0"]["image"], "${COFFEE_IMAGE:-visits}");
}

#[test]
fn gateways_without_a_port_are_refused() {
    let mut options = options(&fused().unwrap(), 2, 0);
    options.listen.set_port(u16::MAX);
    assert_eq!(compose_file(&options), Err(ComposeError::Ports));
}

#[test]
fn each_cluster_has_secrets_of_its_own() {
    let file = environment_file().unwrap();
    let values: Vec<&str> = file.lines().filter_map(|line| line.split_once('=')).map(|(_, value)| value).collect();
    assert_eq!(values.iter().map(|value| value.len()).collect::<Vec<_>>(), [7 + 16, 64, 32]);
    assert!(values[1].chars().all(|c| c.is_ascii_hexdigit()));
    assert_ne!(file, environment_file().unwrap());
}
