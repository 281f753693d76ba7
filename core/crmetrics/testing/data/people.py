"""Users in teams, their training and what they do inside the CRM."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from crmetrics.testing.data.company import Company, User
from crmetrics.testing.data.dice import Dice, workday

SALES_TEAMS = ("Enterprise", "Commercial East", "Commercial West")
"""Enterprise sells to enterprise accounts, East and West share the others; West falls behind."""

_STAFF = (
    ("Enterprise", "sales", 4),
    ("Commercial East", "sales", 4),
    ("Commercial West", "sales", 4),
    ("Marketing", "marketing", 3),
    ("Support Desk", "service", 5),
    ("Support Experts", "service", 3),
    ("Operations", "admin", 2),
)
_OBJECTS = {
    "sales": ("opportunities", "accounts", "activities", "contacts"),
    "marketing": ("leads", "campaigns", "contacts"),
    "service": ("cases", "activities"),
    "admin": ("users", "reports"),
}
_COURSES = (("CRM basics", True), ("Data quality", True), ("Forecasting", False))


def add_users(company: Company) -> None:
    """The staff, two integration users, a viewer without a licence, a test and a deleted user."""
    dice = company.dice("users")
    for team, role, size in _STAFF:
        for position in range(company.staffed(size)):
            _add_user(company, dice, team, role, position)
    long_ago = datetime(company.start.year - 2, 1, 2, 8, tzinfo=UTC)
    for user, role, flags in (
        ("usr-sync", "other", {"user_type": "integration", "is_licensed": False}),
        ("usr-mailer", "marketing", {"user_type": "integration"}),
        ("usr-viewer", "other", {"is_licensed": False}),
        ("usr-test", "sales", {"is_test": True}),
        ("usr-gone", "sales", {"is_deleted": True}),
    ):
        company.add(
            "users",
            id=user,
            role=role,
            team=None,
            created_at=long_ago,
            updated_at=long_ago,
            **flags,
        )
    company.count_dirt("users", "test")
    company.count_dirt("users", "deleted")


def _add_user(company: Company, dice: Dice, team: str, role: str, position: int) -> None:
    created = company.start - timedelta(days=dice.between(60, 900))
    left = None
    days = (company.end - company.start).days
    if position == 1 and team in ("Commercial West", "Support Desk"):
        left = workday(company.start + timedelta(days=days // 2))
    if position == 2 and team in ("Commercial West", "Support Desk"):
        # The successor starts a week before the predecessor leaves.
        created = workday(company.start + timedelta(days=days // 2 - 7))
    identity = company.new_id("users", "usr")
    company.users.append(User(identity, team, created, left, dice.between(92, 109)))
    created_at = dice.office_time(created)
    left_at = datetime(left.year, left.month, left.day, 17, tzinfo=UTC) if left else None
    company.add(
        "users",
        id=identity,
        team=team,
        role=role,
        created_at=created_at,
        deactivated_at=left_at,
        updated_at=left_at or created_at,
    )


def add_training(company: Company) -> None:
    """Courses: assigned at the start, or when the user joined; West completes the fewest."""
    dice = company.dice("training")
    for user in company.users:
        for course, is_required in _COURSES:
            if not is_required and not user.team.startswith(("Enterprise", "Commercial")):
                continue
            for round_number in range(1 + dice.chance(15)):
                first = max(user.created, company.start + timedelta(days=30))
                day = workday(first + timedelta(days=dice.between(0, 40) + 365 * round_number))
                if day < company.exported_day:
                    _enrol(company, dice, user, course, is_required, dice.office_time(day))


def _enrol(
    company: Company, dice: Dice, user: User, course: str, is_required: bool, assigned: datetime
) -> None:
    completed = None
    if dice.chance(55 if user.team == "Commercial West" else 88):
        completed = assigned + timedelta(days=dice.around(18), hours=2)
    if not company.is_over(completed):
        completed = None
    company.add(
        "training_enrollments",
        id=company.new_id("training_enrollments", "trn"),
        user_id=user.id,
        course=course,
        is_required=is_required,
        assigned_at=assigned,
        due_at=assigned + timedelta(days=45) if dice.chance(90) else None,
        completed_at=completed,
        updated_at=completed or assigned,
    )


def add_user_activity(company: Company) -> None:
    """Logins, entered and changed records, reports; failed logins, machines and a bulk import."""
    dice = company.dice("user activity")
    roles = {row["id"]: row["role"] for row in company.rows["users"]}
    for day in company.days(dice, company.sized(5200), growth=130):
        user = dice.pick(company.users)
        # West logs in less: the team that falls behind is also the one that avoids the CRM.
        if not user.works_on(day) or (user.team == "Commercial West" and dice.chance(45)):
            continue
        _add_event(company, dice, user.id, roles[user.id], dice.office_time(day))
    for day in company.days(dice, company.sized(300), growth=100):
        _add_event(company, dice, "usr-sync", "admin", dice.office_time(day))
    _add_bulk_import(company, dice)


def _add_event(company: Company, dice: Dice, user: str, role: str, occurred: datetime) -> None:
    kind = dice.weighted(
        [("login", 45), ("record_created", 20), ("record_updated", 25), ("report_run", 10)]
    )
    touches = kind.startswith("record")
    company.add(
        "user_activity",
        id=company.new_id("user_activity", "uac"),
        user_id=user,
        activity_type=kind,
        object_type=dice.pick(_OBJECTS.get(role, ("accounts",))) if touches else None,
        occurred_at=occurred,
        is_success=not (kind == "login" and dice.chance(4)),
        updated_at=occurred,
    )


def _add_bulk_import(company: Company, dice: Dice) -> None:
    """More than 200 entries of one user within one clock minute: they count as one."""
    marketer = next(user for user in company.users if user.team == "Marketing")
    day = workday(company.end - timedelta(days=80))
    minute = dice.office_time(day).replace(second=0)
    for number in range(240):
        company.add(
            "user_activity",
            id=company.new_id("user_activity", "uac"),
            user_id=marketer.id,
            activity_type="record_created",
            object_type="leads",
            occurred_at=minute + timedelta(seconds=number // 5),
            updated_at=minute + timedelta(minutes=1),
        )
    company.count_dirt("user_activity", "bulk_import", 240)
