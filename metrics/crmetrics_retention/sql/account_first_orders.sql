-- One row per account that ever ordered, with the month of its first order.
select source, account_id, strftime(min(ordered_on), '%Y-%m') as first_order_month
from buyer_orders
group by source, account_id
