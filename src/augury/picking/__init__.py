"""Picking images by hand: the list of what was picked, and the local page that it is made on."""

from augury.picking.picks import Pick as Pick
from augury.picking.picks import Picks as Picks
