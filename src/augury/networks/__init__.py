"""Networks: modules with shapes, and nothing of losses, data or devices."""
