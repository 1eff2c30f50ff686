//! What certificate programs leave on disk.

use std::fs;
use std::os::unix::fs::symlink;

use super::place::Place;
use crate::support::Leaf;

/// What certbot does at the `number`th renewal.
fn certbot(place: &Place, name: &str, number: u32, leaf: &Leaf) {
    for (what, text) in [
        ("cert", leaf.cert_pem()),
        ("privkey", leaf.key_pem()),
        ("chain", leaf.chain_pem()),
        ("fullchain", leaf.fullchain()),
    ] {
        place.write(&format!("archive/{name}/{what}{number}.pem"), text);
        let link = place.dir().join(format!("live/{name}/{what}.pem"));
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&link);
        symlink(format!("../../archive/{name}/{what}{number}.pem"), &link).unwrap();
    }
    place.write(&format!("live/{name}/README"), "This directory contains your keys and certificates.");
}

#[test]
fn certbots_renewal_is_taken() {
    let place = Place::watched();
    let leaves = [5, 4, 3].map(|hours| place.leaf("a.test", hours));
    for (number, leaf) in (1..).zip(&leaves) {
        certbot(&place, "a.test", number, leaf);
        place.expect("a.test", leaf);
    }
    // Something that writes through the links, as some deploy scripts do.
    let leaf = place.leaf("a.test", 2);
    fs::write(place.dir().join("archive/a.test/fullchain3.pem"), leaf.fullchain()).unwrap();
    fs::write(place.dir().join("archive/a.test/privkey3.pem"), leaf.key_pem()).unwrap();
    place.expect("a.test", &leaf);
    assert_eq!(place.store.names().unwrap().len(), 1, "the archive was taken too");
    place.expect_no_problem();
}

/// What the kubelet does at the `number`th update: a new directory, and a link to it that is renamed into place.
fn kubelet(place: &Place, mount: &str, number: u32, leaf: &Leaf) {
    let data = |number: u32| format!("..2026_11_22_{number}");
    for (file, text) in
        [("tls.crt", leaf.fullchain()), ("tls.key", leaf.key_pem()), ("ca.crt", place.pki.root_pem().to_owned())]
    {
        place.write(&format!("{mount}/{}/{file}", data(number)), text);
    }
    let mount = place.dir().join(mount);
    symlink(data(number), mount.join("..data_tmp")).unwrap();
    fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    for file in ["tls.crt", "tls.key", "ca.crt"] {
        let _ = symlink(format!("..data/{file}"), mount.join(file));
    }
    if number > 1 {
        fs::remove_dir_all(mount.join(data(number - 1))).unwrap();
    }
}

#[test]
fn mounted_secrets_are_swapped_as_a_whole() {
    let place = Place::watched();
    for (number, hours) in (1..).zip([6, 5, 4, 3]) {
        // The watched directory is a mount, and has another one below.
        let leaves = [place.leaf("a.test", hours), place.leaf("b.test", hours)];
        kubelet(&place, ".", number, &leaves[0]);
        kubelet(&place, "shop", number, &leaves[1]);
        place.expect("in", &leaves[0]);
        place.expect("shop", &leaves[1]);
    }
    assert_eq!(place.store.names().unwrap().len(), 2);
    place.expect_no_problem();
}

#[test]
fn what_lego_acme_sh_and_dehydrated_write_is_taken() {
    let place = Place::watched();
    let [lego, acme_sh, dehydrated] = ["lego.test", "sh.test", "dehydrated.test"].map(|name| place.leaf(name, 5));
    place.write("certificates/lego.test.crt", lego.fullchain());
    place.write("certificates/lego.test.issuer.crt", lego.chain_pem());
    place.write("certificates/lego.test.json", "{}");
    place.write("certificates/lego.test.key", lego.key_sec1());
    place.write("accounts/acme/mail/keys/mail.key", lego.key_pem());

    place.write("sh.test_ecc/sh.test.cer", acme_sh.cert_pem());
    place.write("sh.test_ecc/ca.cer", acme_sh.chain_pem());
    place.write("sh.test_ecc/fullchain.cer", acme_sh.fullchain());
    place.write("sh.test_ecc/sh.test.key", acme_sh.key_pem());
    place.write("sh.test_ecc/sh.test.conf", "Le_Domain='sh.test'");

    for (file, text) in
        [("cert", dehydrated.cert_pem()), ("fullchain", dehydrated.fullchain()), ("privkey", dehydrated.key_pem())]
    {
        place.write(&format!("certs/dehydrated.test/{file}-17.pem"), text);
        symlink(format!("{file}-17.pem"), place.dir().join(format!("certs/dehydrated.test/{file}.pem"))).unwrap();
    }
    place.expect("lego.test", &lego);
    place.expect("sh.test_ecc", &acme_sh);
    place.expect("dehydrated.test", &dehydrated);
    place.settle();
    assert_eq!(place.store.names().unwrap().len(), 4, "{:?}", place.store.names());
    place.expect_no_problem();
}

#[test]
fn haproxys_own_directory_gives_what_others_put_there_and_not_what_we_published() {
    let place = Place::new();
    let published = place.dir();
    let node = format!("[haproxy.edge]\nsocket = \"/nowhere.sock\"\ncrt_dir = {published:?}\n");
    let live = place.scratch.dir("live/a.test");
    let watch = format!("[[watch]]\ndir = {:?}\n", place.scratch.join("live"));
    let mut place = place.with(&watch).with(&node);
    place.start();
    let leaves = [5, 4].map(|hours| place.leaf("a.test", hours));
    for leaf in &leaves {
        // Certbot writes one file, and we publish another of the same name later.
        fs::write(live.join("fullchain.pem"), leaf.fullchain()).unwrap();
        fs::write(live.join("privkey.pem"), leaf.key_pem()).unwrap();
        place.expect("a.test", leaf);
        place.write("a.test.pem", leaf.fullchain_and_key());
    }
    place.write(".b.test.pem.hotcert-1-2", "half of it");
    place.write("crt-list.txt", "a.test.pem");
    let foreign = place.leaf("b.test", 5);
    place.write("b.test.pem", foreign.fullchain_and_key());
    place.expect("b.test", &foreign);
    place.settle();
    place.expect_no_problem();
}

#[test]
fn files_that_are_no_certificates_are_left_alone() {
    let place = Place::watched();
    let leaf = place.leaf("a.test", 5);
    place.write("README", "read me");
    place.write("notes.pem", "remember the milk");
    place.write("empty.pem", "");
    place.write("dhparam.pem", "-----BEGIN DH PARAMETERS-----\nMAA=\n-----END DH PARAMETERS-----\n");
    place.write("ca-bundle.crt", leaf.chain_pem() + place.pki.root_pem());
    place.write("binary.cer", [0_u8, 159, 146, 150]);
    place.write("lonely.key", leaf.key_pem());
    place.write("sub/account_key.pem", leaf.key_pem());
    assert!(std::process::Command::new("mkfifo").arg(place.dir().join("pipe.pem")).status().unwrap().success());
    symlink("/dev/zero", place.dir().join("device.pem")).unwrap();
    symlink(".", place.dir().join("loop")).unwrap();
    symlink("nowhere", place.dir().join("dangling.pem")).unwrap();
    place.write("a.pem", leaf.fullchain_and_key());
    place.expect("a", &leaf);
    // What may be half written is called a problem after two seconds; a broken file says when they are over.
    place.write("z.pem", "-----BEGIN CERTIFICATE-----\nMAA=\n");
    place.expect_problem("z.pem", "cut off");
    assert_eq!(place.problems().len(), 1, "{:?}", place.problems());
}
