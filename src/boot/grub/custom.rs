//! The lines of ours in custom.cfg, which grub.cfg reads.
//!
//! They read the menu; and where a power cut on FAT has left none, the one before it.

/// Where our lines begin and end.
const BEGIN: &str = "### BEGIN imgbase ###";
const END: &str = "### END imgbase ###";

/// The menu.
pub(super) const MENU: &str = "imgbase.cfg";
/// The one before it, on FAT.
pub(super) const BEFORE: &str = "imgbase-before.cfg";

fn lines() -> String {
    format!(
        "{BEGIN}\n\
         # Kept by imgbase: leads GRUB to its menu, or to the one before it.\n\
         if [ -n \"${{config_directory}}\" ]; then\n  \
           set imgbase_folder=\"${{config_directory}}\"\n\
         else\n  \
           set imgbase_folder=\"${{prefix}}\"\n\
         fi\n\
         if [ -f \"${{imgbase_folder}}/{MENU}\" ]; then\n  \
           source \"${{imgbase_folder}}/{MENU}\"\n\
         elif [ -f \"${{imgbase_folder}}/{BEFORE}\" ]; then\n  \
           source \"${{imgbase_folder}}/{BEFORE}\"\n\
         fi\n\
         {END}\n"
    )
}

/// True where our lines are in it, as they are now.
pub(super) fn has_lines(text: &[u8]) -> bool {
    find(text, lines().as_bytes()).is_some()
}

/// The file with our lines in it, in the place of older ones or at the end; all else to the byte.
pub(super) fn with_lines(text: &[u8]) -> Vec<u8> {
    let (mut bytes, lines) = (text.to_vec(), lines());
    match old_lines(text) {
        Some((from, to)) => drop(bytes.splice(from..to, lines.into_bytes())),
        None => {
            if bytes.last().is_some_and(|byte| *byte != b'\n') {
                bytes.push(b'\n');
            }
            bytes.extend(lines.into_bytes());
        }
    }
    bytes
}

fn old_lines(text: &[u8]) -> Option<(usize, usize)> {
    let end = format!("{END}\n");
    let last = find(text, end.as_bytes())?;
    let from = find(text.get(..last)?, BEGIN.as_bytes())?;
    Some((from, last.checked_add(end.len())?))
}

/// Where it stands last.
fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).rposition(|window| window == what)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn older_lines_are_replaced() {
        let old = format!("set a=1\n{BEGIN}\nsource x\n{END}\nset b=2");
        let new = with_lines(old.as_bytes());
        assert!(has_lines(&new) && !has_lines(old.as_bytes()));
        assert!(new.starts_with(b"set a=1\n") && new.ends_with(b"set b=2"));
        assert_eq!(with_lines(&new), new);
        // Without an end nobody knows where ours are: they stay, and do no harm.
        let open = format!("{BEGIN}\nset c=3\n");
        assert!(with_lines(open.as_bytes()).starts_with(open.as_bytes()));
    }

    proptest! {
        #[test]
        fn what_others_wrote_stays(before in "[a-z #\n]{0,60}", after in "[a-z #\n]{0,60}") {
            let new = with_lines(before.as_bytes());
            prop_assert!(new.starts_with(before.as_bytes()) && has_lines(&new));
            let both = [new.as_slice(), after.as_bytes()].concat();
            prop_assert_eq!(with_lines(&both), both);
        }
    }
}
