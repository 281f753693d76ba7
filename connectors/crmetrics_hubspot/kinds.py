"""The names of HubSpot's own object types, whatever a project file calls them."""

from __future__ import annotations

_TYPES = {
    # name: (type id, singular)
    "contacts": ("0-1", "contact"),
    "companies": ("0-2", "company"),
    "deals": ("0-3", "deal"),
    "tickets": ("0-5", "ticket"),
    "products": ("0-7", "product"),
    "line_items": ("0-8", "line_item"),
    "quotes": ("0-14", "quote"),
    "communications": ("0-18", "communication"),
    "feedback_submissions": ("0-19", "feedback_submission"),
    "tasks": ("0-27", "task"),
    "notes": ("0-46", "note"),
    "meetings": ("0-47", "meeting"),
    "calls": ("0-48", "call"),
    "emails": ("0-49", "email"),
    "invoices": ("0-53", "invoice"),
    "subscriptions": ("0-69", "subscription"),
    "goal_targets": ("0-74", "goal_target"),
    "users": ("0-115", "user"),
    "orders": ("0-123", "order"),
    "leads": ("0-136", "lead"),
}
_NAMES = {other: name for name, others in _TYPES.items() for other in (name, *others)}


def kind_of(text: str) -> str:
    """The name of an object type that is told by name, type id (0-1) or in the singular, in any
    case; others, such as custom objects, as they are told."""
    return _NAMES.get(text.strip().lower(), text)
