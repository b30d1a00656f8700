"""The old name of tb/mutation/campaign.py."""

from pymodel.support.old_names import forward

forward(__spec__, "tb.mutation.campaign")
