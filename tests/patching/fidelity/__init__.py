"""The table of every family against references that are not the pack's: LyCORIS, PEFT, the old trainers' formulas."""
