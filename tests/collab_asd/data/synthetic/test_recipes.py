"""How machines of one type differ."""

from collab_asd.data.synthetic.machines import make_machine


def test_machines_of_one_type_differ_in_speed_and_resonances():
    siblings = [make_machine("pump", f"{number:02d}", seed=0) for number in range(6)]
    assert len({machine.speed for machine in siblings}) == 6
    assert len({machine.modes for machine in siblings}) == 6
    assert len({machine.teeth for machine in siblings}) == 1
