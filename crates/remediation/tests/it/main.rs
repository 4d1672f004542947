//! Remediation at its face.

#[cfg(test)]
mod actions;
#[cfg(test)]
mod author;
#[cfg(test)]
mod autonomy;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod beside;
#[cfg(test)]
mod capturing;
#[cfg(test)]
mod draining;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod planning;
#[cfg(test)]
mod playbooks;
#[cfg(test)]
mod quiet;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod saga;
