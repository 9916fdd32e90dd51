import random

from lmservice.client.budget import RESERVE, Budget


def test_the_floor_is_so_many_retries_in_each_second() -> None:
    budget = Budget(0.0, 10)
    granted = [sum(budget.spend(second + step / 100) for step in range(100)) for second in range(5)]
    assert granted == [10] * 5


def test_a_floor_below_one_a_second_is_one_in_as_long_as_it_takes() -> None:
    budget = Budget(0.0, 0.5)
    assert [second for second in range(10) if budget.spend(float(second))] == [0, 2, 4, 6, 8]


def test_calls_earn_their_part() -> None:
    budget = Budget(0.2, 0)
    for _ in range(50):
        budget.earn()
    assert sum(budget.spend(0.0) for _ in range(50)) in (9, 10)
    assert not budget.spend(1000.0)


def test_with_nothing_granted_there_are_no_retries() -> None:
    budget = Budget(0.0, 0)
    budget.earn()
    assert not budget.spend(0.0)


def test_a_long_good_time_does_not_pay_for_a_storm() -> None:
    budget = Budget(0.2, 0)
    for _ in range(1_000_000):
        budget.earn()
    assert sum(budget.spend(0.0) for _ in range(10_000)) <= RESERVE


def test_whatever_comes_the_retries_are_within_the_budget() -> None:
    for seed in range(50):
        dice = random.Random(seed)
        ratio, floor = dice.choice([0.0, 0.1, 0.2, 1.0]), dice.choice([0, 1, 3, 10])
        budget, now, calls, retries = Budget(ratio, floor), dice.random() * 100, 0, 0
        began = now
        for _ in range(2000):
            now += dice.expovariate(dice.choice([1, 10, 100]))
            for _ in range(dice.randrange(4)):
                budget.earn()
                calls += 1
            retries += budget.spend(now)
            assert retries <= ratio * calls + floor * (now - began + 1) + 1e-6
