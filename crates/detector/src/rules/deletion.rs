//! What is being deleted, and does not go.

use kubewise_core::anomaly::{Reason, Severity};
use kubewise_core::{Kind, ObjectRef};

use crate::rules::{MESSAGE, Scene};
use crate::symptom::Symptom;
use crate::text;
use crate::world::Known;

/// Of the workload, or of whatever it controls. A namespace stands for itself.
pub(crate) fn symptoms(scene: &Scene<'_>, symptoms: &mut Vec<Symptom>) {
    symptoms.extend(scene.objects.iter().filter_map(|known| lingering(scene, known)));
}

fn lingering(scene: &Scene<'_>, known: &Known) -> Option<Symptom> {
    let object = &known.state.object;
    let since = known.state.deleted.filter(|_| !is_told_elsewhere(scene, known))?;
    let held = match known.state.held_by.as_slice() {
        [] if object.kind == Kind::Pod => "no finalizer holds it, so its kubelet has not ended it".into(),
        [] => "nothing tells what holds it".into(),
        held => format!("held by: {}", text::brief(&held.join("; "), 2 * MESSAGE)),
    };
    let text = format!(
        "{} should be gone since {}, and is still being deleted; {held}",
        text::name(object),
        text::span(since, scene.now)
    );
    let ripe_at = scene.options.deletion_grace.after(since);
    Some(Symptom::new(Reason::Terminating, object, ripe_at, text).severity(Severity::Warning))
}

/// A node that is down tells why its pods do not go, a namespace that goes why all in it does not.
fn is_told_elsewhere(scene: &Scene<'_>, known: &Known) -> bool {
    let node = known.pod().and_then(|(pod, _)| pod.node.as_ref());
    let namespace = known.state.object.namespace.clone();
    let namespace = namespace.map(|name| ObjectRef::cluster_scoped(Kind::Namespace, name));
    node.is_some_and(|node| scene.world.is_node_down(node))
        || namespace
            .and_then(|namespace| scene.world.get(&namespace))
            .is_some_and(|namespace| namespace.state.deleted.is_some())
}
