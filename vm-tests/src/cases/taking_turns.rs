//! lvm2 and imgbase take turns on one group, at random, and agree after each turn.

use crate::case::{Case, Outcome, counted, is_whole, must};
use crate::cases::kit;
use crate::judges;
use crate::vm::Vm;

/// Each run takes the same turns.
const SEED: u64 = 0x1e57_ab1e_5eed_0001;
/// So many, and so many where all is to be tried.
const TURNS: (usize, usize) = (20, 200);
/// More volumes than this and the text would not fit its area several times over.
const MOST: usize = 8;

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("taking_turns::at_random", at_random).within(1800)]
}

fn at_random(vm: &mut Vm) -> Outcome {
    vm.imgbase("layout --init --mda-size 64k --config-size 0 --size 1G /dev/vda /dev/vdb")?;
    kit::small_base(vm, "")?;
    vm.imgbase("layer --add")?;
    let mut state = State { layers: vec!["Small-1-1+1".into()], random: SEED, ..State::default() };
    let turns = if is_whole() { TURNS.1 } else { TURNS.0 };
    for turn in 0..turns {
        let script = state.turn();
        vm.note(&format!("--- turn {turn}"));
        vm.ok(&script)?;
        let said = judges::lvm2(vm, kit::VG)?;
        state.observe(vm, &said)?;
    }
    counted(format!("{turns} turns of {}", TURNS.1));
    kit::end(vm)
}

#[derive(Default)]
struct State {
    /// Ours.
    layers: Vec<String>,
    /// lvm2's: `thin*`, `line*`.
    others: Vec<String>,
    random: u64,
    next: u32,
}

impl State {
    fn random(&mut self, below: usize) -> usize {
        usize::try_from(kit::next(&mut self.random) % below.max(1) as u64).unwrap_or(0)
    }

    fn layer(&mut self) -> String {
        let n = self.random(self.layers.len());
        self.layers.get(n).cloned().unwrap_or_else(|| "Small-1-1".into())
    }

    fn fresh(&mut self, stem: &str) -> String {
        self.next += 1;
        format!("{stem}{}", self.next)
    }

    /// Half of the turns are ours.
    fn turn(&mut self) -> String {
        if self.random(2) == 0 { self.ours() } else { self.theirs() }
    }

    fn ours(&mut self) -> String {
        let layer = self.layer();
        let many = self.layers.len() >= MOST;
        match self.random(5) {
            0 | 1 if !many => format!("imgbase layer --add {layer}"),
            0..=2 if self.layers.len() > 1 => format!("imgbase layer --remove {layer}"),
            3 => format!("imgbase deactivate {layer}"),
            _ => format!("imgbase activate {layer}"),
        }
    }

    fn theirs(&mut self) -> String {
        let layer = self.layer();
        let many = self.others.len() >= MOST;
        match self.random(8) {
            0 if !many => format!("lvcreate -s -kn -ay -n {} HostVG/{layer}", self.fresh("thin")),
            1 if !many => format!("lvcreate -V 64M -n {} HostVG/ImagePool", self.fresh("thin")),
            2 if !many => format!("lvcreate -L 20M -n {} HostVG", self.fresh("line")),
            0..=3 if !self.others.is_empty() => {
                let n = self.random(self.others.len());
                format!("lvremove -y HostVG/{}", self.others[n])
            }
            4 => format!("lvchange --addtag turn{} HostVG/{layer}", self.random(3)),
            5 => format!("lvchange -an HostVG/{layer}"),
            6 => format!("lvchange -ay HostVG/{layer}"),
            _ => format!("vgchange --addtag turn{} HostVG", self.random(3)),
        }
    }

    /// Both list the same layers; `said` is what lvm2 says of the group.
    fn observe(&mut self, vm: &mut Vm, said: &str) -> Outcome {
        let ours = sorted(vm.imgbase("layout --layers")?.lines().map(str::to_owned).collect());
        let volumes: Vec<&str> = said.lines().filter(|line| line.contains(" HostVG ")).collect();
        let name = |line: &&str| line.split_whitespace().next().unwrap_or_default().to_owned();
        let tagged = volumes.iter().filter(|line| line.contains("imgbased:layer"));
        let theirs = sorted(tagged.map(name).collect());
        must(ours == theirs, format!("imgbase lists {ours:?}, lvm2 {theirs:?}"))?;
        self.layers = ours;
        let other = |name: &String| name.starts_with("thin") || name.starts_with("line");
        self.others = volumes.iter().map(name).filter(other).collect();
        Ok(())
    }
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort_unstable();
    names
}
