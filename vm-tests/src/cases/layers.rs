//! Images of containers become bases: layouts in folders and archives.

use crate::case::{Case, Outcome, must};
use crate::cases::kit::{self, BASE, step, step_says};
use crate::vm::Vm;

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("layers::of_a_layout", of_a_layout).within(900)]
}

/// A part of the sample, with all that is odd in it, as two layers: the lower one has what the upper one
/// takes away.
const LAYOUT: &str = r#"
mkdir -p /mnt/part && mke2fs -q -t ext4 /tmp/part.ext4 128M && mount -o loop /tmp/part.ext4 /mnt/part
mount -o loop,ro,noload /images/debian.ext4 /mnt/image
cd /mnt/image && cp -a etc root bin srv /mnt/part && cd / && umount /mnt/image
guest tree /mnt/part >/tmp/part.tree
mkdir -p /tmp/extra/srv/sample/old /tmp/extra/odd/deep /tmp/upper/srv/sample /tmp/oci/blobs/sha256
cd /tmp/extra && echo x >srv/sample/old/file && echo x >srv/sample/first && echo x >top && echo x >odd/deep/x
cd /tmp/upper && touch .wh.top .wh.odd .wh.never srv/sample/.wh..wh..opq
cd /tmp/oci
all="--xattrs --xattrs-include=* --numeric-owner -S"
tar $all --exclude=./srv/sample -C /mnt/part -cf - . -C /tmp/extra srv odd top | gzip -1 >lower
tar $all -C /mnt/part -cf upper ./srv -C /tmp/upper .wh.top .wh.odd .wh.never srv/sample/.wh..wh..opq
umount /mnt/part
blob() { digest=sha256:$(sha256sum <"$1" | cut -c1-64) size=$(stat -c %s "$1"); mv "$1" "blobs/sha256/${digest#*:}"
    printf '{"mediaType":"%s","digest":"%s","size":%s%s}' "$2" "$digest" "$size" "$3"; }
ids="\"sha256:$(gzip -dc <lower | sha256sum | cut -c1-64)\",\"sha256:$(sha256sum <upper | cut -c1-64)\""
type=application/vnd.oci.image
layers=$(blob lower $type.layer.v1.tar+gzip),$(blob upper $type.layer.v1.tar)
for arch in amd64 s390x; do
    printf '{"os":"linux","architecture":"%s","rootfs":{"type":"layers","diff_ids":[%s]}}' $arch "$ids" >config
    printf '{"schemaVersion":2,"config":%s,"layers":[%s]}' "$(blob config $type.config.v1+json)" "$layers" >manifest
    blob manifest $type.manifest.v1+json ",\"platform\":{\"os\":\"linux\",\"architecture\":\"$arch\"}" >$arch
done
printf '{"schemaVersion":2,"manifests":[%s,%s]}' "$(cat s390x)" "$(cat amd64)" >index
name='"annotations":{"org.opencontainers.image.ref.name"'
index=$(blob index $type.index.v1+json ",$name:\"12\"}")
printf '{"schemaVersion":2,"manifests":[%s,%s]}' "$index" \
    "$(sed "s/}}\$/},$name:\"other\"}}/" s390x)" >index.json
rm s390x amd64 && printf '{"imageLayoutVersion":"1.0.0"}' >oci-layout
"#;

fn of_a_layout(vm: &mut Vm) -> Outcome {
    kit::init(vm)?;
    vm.ok(&format!("set -e\n{LAYOUT}"))?;
    let other = vm.fails(5, "imgbase base --add Bad-1-1 /tmp/oci --image-ref other")?;
    must(other.contains("linux/s390x") && other.contains("nothing was changed"), other)?;
    let third = vm.fails(3, "imgbase base --add Bad-1-1 /tmp/oci --image-ref third")?;
    must(third.contains("12, other"), third)?;
    step_says(vm, &format!("base --add {BASE} /tmp/oci --image-ref 12"), BASE)?;
    kit::is_sealed(vm, BASE)?;
    holds_the_part(vm, BASE)?;
    vm.ok(&format!("imgbase base --remove {BASE} -y"))?;
    // A byte of a layer that no checksum of its own guards.
    let layer = vm.ok("cd /tmp/oci/blobs/sha256 && ls -S | sed -n 2p")?;
    vm.ok(&format!(
        "cd /tmp/oci/blobs/sha256 && cp {layer} /tmp/kept &&
        printf x | dd of={layer} bs=1 seek=1000 conv=notrunc status=none"
    ))?;
    let bad = vm.fails(6, "imgbase base --add Bad-1-1 /tmp/oci --image-ref 12")?;
    must(bad.contains(&layer) && bad.contains("nothing was changed"), bad)?;
    vm.ok(&format!(
        "mv /tmp/kept /tmp/oci/blobs/sha256/{layer} &&
        tar -C /tmp/oci --remove-files -cf /tmp/oci.tar blobs index.json oci-layout"
    ))?;
    step_says(vm, "base --add Debian-12-2 /tmp/oci.tar --image-ref 12", "Debian-12-2")?;
    holds_the_part(vm, "Debian-12-2")?;
    let stream = "imgbase base --add Bad-1-1 - --size 1G </tmp/oci.tar";
    let said = vm.fails(5, stream)?;
    must(said.contains("OCI layout") && said.contains("undone"), said)?;
    vm.says("imgbase recover --list; imgbase layout --bases", "Debian-12-2")?;
    kit::end(vm)
}

fn holds_the_part(vm: &mut Vm, base: &str) -> Outcome {
    step(vm, &format!("mount {base} /mnt/tree --read-only"))?;
    vm.ok("guest tree /mnt/tree | diff /tmp/part.tree -")?;
    step(vm, "umount /mnt/tree")?;
    Ok(())
}
